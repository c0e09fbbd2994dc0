"""Metrics of all methods and checkpoints on one forget set of one run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from grokforget.data.examples import ExampleTable
from grokforget.jobs.checkpoint_rows import Columns, by_checkpoint
from grokforget.metrics.base import Cell, Outputs
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, REFERENCE_FLAG

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import MeasureSpec


def measure(job: Job[MeasureSpec]) -> None:
    """Compute every metric of every cell from per-example outputs and trajectories.

    Reads ``examples`` and, a file a method, ``outputs``, ``trajectory`` and ``diagnostics``. Writes ``table``: a row a
    (checkpoint, method), with its flag and that of the retrained reference that it is measured against. With an output that
    is not finite all metrics of a model are NaN (``metrics/base.py``), and so are those that are measured against a flagged
    reference.
    """
    spec = job.spec
    chance = ExampleTable.read(job.input("examples")).chance
    trajectories, notes = (_tables(job, kind) for kind in ("trajectory", "diagnostics"))
    outputs = {
        method: {checkpoint: Outputs(columns) for checkpoint, columns in tables.items()}
        for method, tables in _tables(job, "outputs").items()
    }
    flags = {
        method: {checkpoint: str(columns[FLAG][0]) for checkpoint, columns in tables.items()}
        for method, tables in notes.items()
    }
    references = {
        checkpoint: outputs[spec.retrain][checkpoint].unknown() if flag else outputs[spec.retrain][checkpoint]
        for checkpoint, flag in flags[spec.retrain].items()
    }
    # Of the same examples as the rows of all trajectories, which may be a part.
    levels = {
        checkpoint: math.nan if flag else float(trajectories[spec.retrain][checkpoint]["forget_accuracy"][-1])
        for checkpoint, flag in flags[spec.retrain].items()
    }
    rows: list[dict[str, Any]] = []
    for method in spec.methods:
        for checkpoint in spec.checkpoints:
            cell = Cell(
                outputs=outputs[method][checkpoint],
                original=outputs[spec.original][checkpoint],
                retrained=references[checkpoint],
                trajectory=trajectories[method][checkpoint],
                chance=chance,
                seed=spec.seed,
                retrained_forget_accuracy=levels[checkpoint],
            )
            row: dict[str, Any] = {"checkpoint": checkpoint, "method": method}
            row |= {FLAG: flags[method][checkpoint], REFERENCE_FLAG: flags[spec.retrain][checkpoint]}
            for metric in spec.metrics.values():
                row |= metric.build(cell)
            of_cell = notes[method][checkpoint]
            note = dict(zip(of_cell["measure"].tolist(), of_cell["value"].tolist(), strict=True))
            rows.append(row | {"updates": int(note["updates"])})
    write_rows(job.outputs["table"], {name: np.array([row[name] for row in rows]) for name in rows[0]})


def _tables(job: Job[MeasureSpec], kind: str) -> dict[str, dict[str, Columns]]:
    """By method and checkpoint."""
    return dict(zip(job.spec.methods, map(by_checkpoint, job.inputs[kind]), strict=True))
