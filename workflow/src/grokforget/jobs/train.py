"""One segment of a training run."""

from __future__ import annotations

import logging
import signal
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from grokforget.data.examples import ForgetSplit, read_examples
from grokforget.jobs.setup import encoded, use_device
from grokforget.models.build import build_model
from grokforget.models.states import read_state, write_states
from grokforget.models.transfer import transfer
from grokforget.runtime.files import DamagedFile, write_rows
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress
from grokforget.runtime.seeds import derive_seed
from grokforget.runtime.signals import Interrupted, asked, saving, stop_if_asked
from grokforget.runtime.together import run_together
from grokforget.training.data_parallel import ALONE, Group, joined
from grokforget.training.loop import Run, Segment, TrainingState, start, train_run
from grokforget.training.snapshots import InMemory, OnDisk, Snapshots
from grokforget.training.state import load_partial, load_training, save_partial, save_training

if TYPE_CHECKING:
    from grokforget.config.specs.runs import TrainSpec

log = logging.getLogger("grokforget")
SAVE_SECONDS = 300.0
"""Between two savings of a running segment: what is lost where a machine fails without a warning."""
PARTIAL = "partial.safetensors"
"""In the scratch folder, beside the snapshots: the running state of an interrupted segment."""


def train_segment(job: Job[TrainSpec]) -> None:
    """Train from the previous segment's state, or from the initialisation, to ``stop`` updates.

    Reads ``examples``, ``split``, and where they are given the files of the ``model``, ``forget`` (train on its retain set),
    ``state``, and ``donor``, the state of another run with whose weights some layers begin. Writes
    ``state``, ``snapshots`` (weights by step) and ``curve`` (one row an evaluation). With a scratch folder snapshots go there
    as they occur, and an interrupted segment goes on from what it saved there; without one they are kept in memory. Several
    ``processes`` train together, of which the first writes.
    """
    try:
        train_in_processes(job)
    except DamagedFile as damage:
        forget_partial(damage, [job])
        train_in_processes(job)


def forget_partial(damage: DamagedFile, jobs: Iterable[Job[TrainSpec]]) -> None:
    """Have the job whose snapshot is damaged begin anew. Raises the damage where it is of none of them."""
    scratch = next((job.scratch for job in jobs if job.scratch in damage.path.parents), None)
    if scratch is None:
        raise damage
    log.warning("%s; the segment is trained from its start", damage)
    (scratch / PARTIAL).unlink(missing_ok=True)


def train_in_processes(job: Job[TrainSpec]) -> None:
    """``train_and_write`` in this process, or in as many as the spec says."""
    if job.spec.processes == 1:
        train_and_write(job, ALONE)
        return
    with tempfile.TemporaryDirectory(prefix="grokforget-") as folder:
        run_together(train_in_group, job.spec.processes, job, Path(folder) / "meeting")


def train_in_group(rank: int, job: Job[TrainSpec], meeting: Path) -> None:
    """What one of several processes does."""
    with joined(rank, job.spec.processes, meeting, job.spec.device) as group:
        train_and_write(job, group)


def train_and_write(job: Job[TrainSpec], group: Group) -> None:
    """What ``train_segment`` does. Raises DamagedFile where a snapshot in the scratch folder cannot be read back."""
    training = Training(job, use_device(job.spec), group)
    run = training.run
    if group.agreed(run.state.step) != [run.state.step]:
        raise RuntimeError(f"process {group.rank + 1} begins at step {run.state.step}, the first one at another")

    def on_step(segment: Segment) -> None:
        (stop,) = group.agreed(asked())
        training.save(stop)
        if stop:
            # The others were not asked themselves.
            stop_if_asked()
            raise Interrupted(signal.SIGTERM)

    run.on_step = on_step
    with ExitStack() as stack:
        show = stack.enter_context(progress("train", job.spec.stop, run.state.step)) if group.is_first else None
        stack.enter_context(saving())

        def on_evaluation(row: dict[str, Any]) -> None:
            if show:
                show(row["step"], f"train {row['train_accuracy']:.3f} validation {row['validation_accuracy']:.3f}")

        run.on_evaluation = on_evaluation
        train_run(run)
    if group.is_first:
        training.write()


class Training:
    """A training job's run, as it is now, and where what comes of it is kept."""

    def __init__(self, job: Job[TrainSpec], device: torch.device, group: Group = ALONE) -> None:
        spec = job.spec
        table, splits = read_examples(job.input("examples"), job.input("split"))
        seed = derive_seed(spec.seed, "initialisation")
        model = build_model(spec.model, table.shape, seed, job.inputs.get("model", ())).to(device)
        if donor := job.optional("donor"):
            transfer(read_state(donor, "model"), model, spec.transferred)
        forget = job.optional("forget")
        indices = vars(splits) | ({"train": ForgetSplit.read(forget).retain} if forget else {})
        examples = {name: encoded(model, table, index, device) for name, index in indices.items()}

        self.job, self.keeps = job, group.is_first
        precision = spec.recipe.snapshot_precision
        self.snapshots: Snapshots = OnDisk(job.scratch, precision) if job.scratch else InMemory(precision)
        state, done = begin(model, spec, job.optional("state"), job.scratch)
        self.run = Run(
            state,
            examples,
            spec.recipe,
            spec.objective.build(),
            seed=spec.seed,
            stop=spec.stop,
            on_snapshot=self.snapshots.keep if self.keeps else lambda step, weights: None,
            done=done,
            group=group,
        )
        self.saved = time.monotonic()

    def save(self, now: bool) -> None:
        """What it could go on from, ``now`` or where the last time is ``SAVE_SECONDS`` ago."""
        if self.keeps and self.job.scratch and (now or time.monotonic() - self.saved > SAVE_SECONDS):
            save_partial(self.job.scratch / PARTIAL, self.run.state, self.run.segment)
            self.saved = time.monotonic()
            log.info("saved at step %d", self.run.state.step)

    def write(self) -> None:
        """The job's outputs, when the run has ended. Raises DamagedFile where a snapshot cannot be read back."""
        outputs, segment = self.job.outputs, self.run.segment
        write_states(outputs["snapshots"], self.snapshots.read(segment.snapshots))
        save_training(outputs["state"], self.run.state)
        write_rows(outputs["curve"], segment.curve)


def begin(
    model: nn.Module, spec: TrainSpec, previous: Path | None, scratch: Path | None
) -> tuple[TrainingState, Segment | None]:
    """Where the segment was interrupted, or else where the one before ended, or else the initialisation."""
    optimizer = spec.recipe.optimizer
    if scratch and (scratch / PARTIAL).exists():
        try:
            state, done = load_partial(scratch / PARTIAL, model, optimizer, OnDisk(scratch))
            log.info("going on from step %d, where this segment was interrupted", state.step)
            return state, done
        except DamagedFile as damage:
            log.warning("%s; the segment is trained from its start", damage)
    if previous:
        return load_training(previous, model, optimizer, spec.takes_over), None
    torch.manual_seed(derive_seed(spec.seed, "training"))
    return start(model, optimizer), None
