"""One segment of each of several training runs, which take their steps together where they are alike."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from grokforget.jobs.setup import use_device
from grokforget.jobs.train import Training, forget_partial
from grokforget.runtime.files import DamagedFile
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress
from grokforget.runtime.signals import asked, saving, stop_if_asked
from grokforget.training.loop import train_run
from grokforget.training.stack import alike, train_stacked

if TYPE_CHECKING:
    from grokforget.config.specs.runs import TrainSpec


def train_stack(jobs: Sequence[Job[TrainSpec]]) -> None:
    """What ``train_segment`` does, of jobs of one device: runs of one model, objective and shape of data take their steps
    together, those that are like no other by themselves. Asked to stop, all save what they can go on from."""
    try:
        train_and_write(jobs)
    except DamagedFile as damage:
        forget_partial(damage, jobs)
        train_and_write(jobs)


def train_and_write(jobs: Sequence[Job[TrainSpec]]) -> None:
    """Raises DamagedFile where a snapshot in a scratch folder cannot be read back."""
    device = use_device(jobs[0].spec)
    all_of_them = [Training(job, device) for job in jobs]
    groups: dict[Hashable, list[Training]] = {}
    for number, training in enumerate(all_of_them):
        spec = training.job.spec
        groups.setdefault((alike(training.run) or number, repr(spec.objective)), []).append(training)
    updates = sum(training.run.stop - training.run.state.step for training in all_of_them)
    with progress(f"train {len(jobs)} runs in {len(groups)} stacks", updates) as show, saving():
        for group in groups.values():

            def on_step(group: list[Training] = group) -> None:
                for training in all_of_them if asked() else group:
                    training.save(asked())
                stop_if_asked()
                show(updates - sum(training.run.stop - training.run.state.step for training in all_of_them), "")

            if len(group) > 1:
                train_stacked([training.run for training in group], on_step)
            else:
                group[0].run.on_step = lambda segment: on_step()
                train_run(group[0].run)
    for training in all_of_them:
        training.write()
