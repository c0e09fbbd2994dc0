"""From a run's curves and snapshots to its checkpoints."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from grokforget.data.examples import ExampleTable
from grokforget.grokking.detect import read_curve
from grokforget.grokking.select import select_checkpoints
from grokforget.stages.job import Job
from grokforget.storage import read_table, read_tensors, tensor_groups, write_table, write_tensors

log = logging.getLogger("grokforget")


def select(job: Job) -> None:
    """Measure the transition and pick the checkpoints.

    Reads ``examples``, ``curves`` and ``snapshots`` of all segments in order. Writes ``table`` (a row a checkpoint:
    step, whether it was found, its curve values, and the grokking measures of the run) and ``weights``. Spec:
    ``selection``, ``checkpoints``.
    """
    n_classes = ExampleTable.read(job.input("examples")).n_classes
    curve = pd.concat([read_table(path) for path in job.inputs["curves"]], ignore_index=True)
    where = {int(step): path for path in job.inputs["snapshots"] for step in tensor_groups(path)}
    at_snapshots = curve[curve.step.isin(where)]
    settings = job.spec["selection"]
    grokking = read_curve(
        curve.step.to_numpy(),
        curve.train_accuracy.to_numpy(),
        curve.validation_accuracy.to_numpy(),
        n_classes=n_classes,
        settings=settings,
        diverged=bool(curve.diverged.any()),
    )
    log.info("curve: %s", grokking)
    chosen = select_checkpoints(
        at_snapshots.step.to_numpy(),
        at_snapshots.train_accuracy.to_numpy(),
        at_snapshots.validation_accuracy.to_numpy(),
        grokking,
        settings,
    )
    rows: list[dict[str, Any]] = []
    weights: dict[str, np.ndarray] = {}
    for name in job.spec["checkpoints"]:
        step, found = chosen[name]
        values = curve[curve.step == step].iloc[0].drop(["step", "diverged"]).to_dict()
        rows.append({"checkpoint": name, "step": step, "found": found, **values, **grokking.row()})
        log.info("%s: step %d%s", name, step, "" if found else " (not found: the nearest there is)")
        state, _ = read_tensors(where[step], prefix=f"{step}/")
        weights |= {f"{name}/{key}": value for key, value in state.items()}
    write_tensors(job.outputs["weights"], weights)
    write_table(job.outputs["table"], pd.DataFrame(rows))
