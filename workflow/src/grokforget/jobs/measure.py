"""Metrics of all methods and checkpoints on one forget set of one run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from grokforget.data.examples import ExampleTable
from grokforget.metrics.base import Cell
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, REFERENCE_FLAG

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import MeasureSpec


def measure(job: Job[MeasureSpec]) -> None:
    """Compute every metric of every cell from per-example outputs and trajectories.

    Reads ``examples`` and, a file a method, ``outputs``, ``trajectory`` and ``diagnostics``. Writes ``table``: a row a
    (checkpoint, method), with its flag and that of the retrained reference that it is measured against.
    """
    spec = job.spec
    n_classes = ExampleTable.read(job.input("examples")).n_classes
    tables = {
        kind: dict(zip(spec.methods, map(read_table, job.inputs[kind]), strict=True))
        for kind in ("outputs", "trajectory", "diagnostics")
    }

    def of(kind: str, method: str, checkpoint: str) -> pd.DataFrame:
        table = tables[kind][method]
        return table[table.checkpoint == checkpoint]

    def flag(method: str, checkpoint: str) -> str:
        return str(of("diagnostics", method, checkpoint)[FLAG].iloc[0])

    rows = []
    for method in spec.methods:
        for checkpoint in spec.checkpoints:
            reference, reference_flag = of("outputs", spec.retrain, checkpoint), flag(spec.retrain, checkpoint)
            if reference_flag:
                # What is measured against it is then no number.
                reference = reference.assign(correct=math.nan, loss=math.nan)
            cell = Cell(
                outputs=of("outputs", method, checkpoint),
                original=of("outputs", spec.original, checkpoint),
                retrained=reference,
                trajectory=of("trajectory", method, checkpoint),
                n_classes=n_classes,
                seed=spec.seed,
            )
            row = {"checkpoint": checkpoint, "method": method}
            row |= {FLAG: flag(method, checkpoint), REFERENCE_FLAG: reference_flag}
            for metric in spec.metrics.values():
                row |= metric.build(cell)
            notes = of("diagnostics", method, checkpoint).set_index("measure").value
            rows.append(row | {"updates": int(notes["updates"])})
    write_table(job.outputs["table"], pd.DataFrame(rows))
