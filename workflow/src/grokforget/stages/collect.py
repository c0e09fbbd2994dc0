"""From the files of the runs to the tidy tables of the study.

The spec says which settings, seeds and so on there are; where their files lie is known by ``paths``, below the input ``root``.
The inputs that the rule declares are not passed one by one: ten thousand paths fit on no command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pandas as pd

from grokforget import paths
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table


def collect_training(job: Job) -> None:
    """``training.parquet``: setting, train_set, seed, step, accuracies, losses, weight norm."""
    keys = ["setting", "train_set", "seed"]
    frames = []
    for setting, seed, train_set in product(job.spec["settings"], job.spec["seeds"], job.spec["train_sets"]):
        for segment in job.spec["segments"][setting]:
            where = {"setting": setting, "seed": seed, "train_set": train_set}
            frames.append(labelled(job, paths.CURVE, where, segment=segment))
    write_sorted(job, frames, keys, ["step"])


def collect_checkpoints(job: Job) -> None:
    """``checkpoints.parquet``: setting, seed, checkpoint, step and the grokking measures of the run on the full train
    set."""
    frames = [
        labelled(job, paths.CHECKPOINT_TABLE, {"setting": setting, "seed": seed, "train_set": train_set})
        for setting, seed, train_set in product(job.spec["settings"], job.spec["seeds"], job.spec["train_sets"])
    ]
    write_sorted(job, frames, ["setting", "train_set", "seed", "checkpoint"], [])


def collect_unlearning(job: Job) -> None:
    """``unlearning.parquet``: a row a cell."""
    frames = [labelled(job, paths.MEASURES, where) for where in requests(job.spec)]
    write_sorted(job, frames, ["setting", "seed", "forget_set", "checkpoint", "method"], [])


def collect_trajectories(job: Job) -> None:
    """``trajectories.parquet``: a row a (cell, evaluated update)."""
    frames = [
        labelled(job, paths.TRAJECTORY, {**where, "method": method})
        for where in requests(job.spec)
        for method in job.spec["methods"]
    ]
    write_sorted(job, frames, ["setting", "seed", "forget_set", "checkpoint", "method"], ["update", "final"])


def collect_sweep(job: Job) -> None:
    """``sweep.parquet``: a row a (setting, seed, forget set, snapshot), before and after the swept method."""
    frames = [labelled(job, paths.SWEEP, where) for where in requests(job.spec)]
    write_sorted(job, frames, ["setting", "seed", "forget_set"], ["step"])


def collect_analysis(job: Job) -> None:
    """``analysis.parquet``: setting, seed, forget set, checkpoint, stage (the method, or ``before``), measure, value."""
    frames = []
    for where in requests(job.spec):
        for method in job.spec["methods"]:
            stage = "before" if method == job.spec["original"] else method
            frames.append(
                labelled(job, paths.DIAGNOSTICS, {**where, "method": method}).assign(stage=stage).drop(columns="method")
            )
    write_sorted(job, frames, ["setting", "seed", "forget_set", "checkpoint", "stage", "measure"], ["value"])


def requests(spec: Any) -> Iterator[dict[str, Any]]:
    """Every (setting, seed, forget set)."""
    for setting, seed, forget_set in product(spec["settings"], spec["seeds"], spec["forget_sets"]):
        yield {"setting": setting, "seed": seed, "forget_set": forget_set}


def labelled(job: Job, pattern: str, where: dict[str, Any], **more: Any) -> pd.DataFrame:
    """One file's rows with the labels of where they come from."""
    path = job.input("root") / pattern.format(**where, **more)
    return read_table(path).assign(**where)


def write_sorted(job: Job, frames: list[pd.DataFrame], keys: list[str], then: list[str]) -> None:
    """One table, labels first, in an order that does not depend on the order of the config."""
    table = pd.concat(frames, ignore_index=True)
    order = [*keys, *then, *(column for column in table.columns if column not in (*keys, *then))]
    write_table(job.outputs["table"], table[order].sort_values([*keys, *then], kind="stable", ignore_index=True))
