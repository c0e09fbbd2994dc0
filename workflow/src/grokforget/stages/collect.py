"""From the files of the runs to the tidy tables of the study.

The spec says which settings, seeds and so on there are; where their files lie is known by ``paths``, below the input ``root``.
The inputs that the rule declares are not passed one by one: ten thousand paths fit on no command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from grokforget import paths
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table

REQUEST = ["setting", "seed", "forget_set"]
CELL = [*REQUEST, "checkpoint", "method"]
VALUE = ["analysis", "measure", "part"]


def collect_training(job: Job) -> None:
    """``training.parquet``: setting, train_set, seed, step, accuracies, losses, weight norm."""
    frames = [
        labelled(job, paths.CURVE, where, segment=segment)
        for where in runs(job.spec)
        for segment in job.spec["settings"][where["setting"]]["segments"]
    ]
    write_sorted(job, frames, ["setting", "train_set", "seed"], ["step"])


def collect_checkpoints(job: Job) -> None:
    """``checkpoints.parquet``: setting, train_set, seed, checkpoint, step and the grokking measures of the run."""
    frames = [labelled(job, paths.CHECKPOINT_TABLE, where) for where in runs(job.spec)]
    write_sorted(job, frames, ["setting", "train_set", "seed", "checkpoint"], [])


def collect_unlearning(job: Job) -> None:
    """``unlearning.parquet``: a row a cell."""
    write_sorted(job, [labelled(job, paths.MEASURES, where) for where in requests(job.spec)], CELL, [])


def collect_trajectories(job: Job) -> None:
    """``trajectories.parquet``: a row a (cell, evaluated update)."""
    frames = [
        labelled(job, paths.TRAJECTORY, {**where, "method": method})
        for where in requests(job.spec)
        for method in job.spec["methods"]
    ]
    write_sorted(job, frames, CELL, ["update", "final"])


def collect_sweep(job: Job) -> None:
    """``sweep.parquet``: a row a (setting, seed, forget set, snapshot), before and after the swept method."""
    write_sorted(job, [labelled(job, paths.SWEEP, where) for where in requests(job.spec)], REQUEST, ["step"])


def collect_analysis(job: Job) -> None:
    """``analysis.parquet``: setting, seed, forget set, checkpoint, stage (the method, or ``before``), analysis, measure,
    part, value. What the methods say of themselves stands under the analysis ``unlearning``."""
    frames = []
    for where in requests(job.spec):
        for method in job.spec["methods"]:
            stage = "before" if method == job.spec["original"] else method
            notes = labelled(job, paths.DIAGNOSTICS, {**where, "method": method}).drop(columns="method")
            frames.append(notes.assign(stage=stage, analysis="unlearning", part=""))
    frames += analyses(job, paths.BEFORE)
    write_sorted(job, frames, [*REQUEST, "checkpoint", "stage", *VALUE], ["value"])


def collect_along(job: Job) -> None:
    """``along.parquet``: setting, seed, forget set, step (the snapshot), analysis, measure, part, value."""
    write_sorted(job, analyses(job, paths.ALONG), [*REQUEST, "step", *VALUE], ["value"])


def collect_membership(job: Job) -> None:
    """``membership.parquet``: a row a cell, attacked with the runs of the other seeds as shadow models."""
    frames = [
        labelled(job, paths.ATTACKED, {"setting": setting, "forget_set": forget_set})
        for setting, forget_sets in job.spec["settings"].items()
        for forget_set in forget_sets
    ]
    write_sorted(job, frames, CELL, [])


def collect_tuning(job: Job) -> None:
    """``tuning.parquet``: a row a (setting, seed, forget set, checkpoint, method, candidate)."""
    frames = [
        labelled(job, paths.TUNING, {"setting": setting, "seed": seed, "method": method})
        for setting, seeds in job.spec["settings"].items()
        for seed in seeds
        for method in job.spec["methods"]
    ]
    write_sorted(job, frames, [*CELL, "parameter", "value"], [])


def analyses(job: Job, moment: str) -> list[pd.DataFrame]:
    """All values of the analyses of one moment; the spec names the (forget set, analysis) of every setting."""
    return [
        labelled(
            job,
            paths.VALUES,
            {"setting": setting, "seed": seed, "forget_set": forget_set, "analysis": analysis},
            moment=moment,
        )
        for setting, scope in job.spec["analyses"].items()
        for seed in scope["seeds"]
        for forget_set, analysis in scope["parts"]
    ]


def runs(spec: Any) -> Iterator[dict[str, Any]]:
    """Every (setting, seed, train set)."""
    for setting, scope in spec["settings"].items():
        for seed in scope["seeds"]:
            for train_set in scope["train_sets"]:
                yield {"setting": setting, "seed": seed, "train_set": train_set}


def requests(spec: Any) -> Iterator[dict[str, Any]]:
    """Every (setting, seed, forget set)."""
    for setting, scope in spec["settings"].items():
        for seed in scope["seeds"]:
            for forget_set in scope["forget_sets"]:
                yield {"setting": setting, "seed": seed, "forget_set": forget_set}


def labelled(job: Job, pattern: str, where: dict[str, Any], **more: Any) -> pd.DataFrame:
    """One file's rows with the labels of where they come from."""
    path = job.input("root") / pattern.format(**where, **more)
    return read_table(path).assign(**where)


def write_sorted(job: Job, frames: list[pd.DataFrame], keys: list[str], then: list[str]) -> None:
    """One table, labels first, in an order that does not depend on the order of the config."""
    # Measures that some settings do not have (a matched checkpoint's reference, say) are empty in their rows.
    table = pd.concat(frames, ignore_index=True)
    order = [*keys, *then, *(column for column in table.columns if column not in (*keys, *then))]
    write_table(job.outputs["table"], table[order].sort_values([*keys, *then], kind="stable", ignore_index=True))
