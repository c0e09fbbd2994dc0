"""Measures of all methods and checkpoints on one forget set of one run."""

from __future__ import annotations

import pandas as pd

from grokforget.components import load_implementation
from grokforget.data.examples import ExampleTable
from grokforget.measures.cell import Cell
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table


def measure(job: Job) -> None:
    """Compute every measure of every cell from per-example outputs and trajectories.

    Reads ``examples``, and ``outputs``, ``trajectories`` and ``diagnostics``, one file a method in the order of
    ``methods``. Writes ``table``: a row a (checkpoint, method). Spec: ``methods`` (names), ``original`` and ``retrain``
    (which of them are the references), ``checkpoints``, ``measures`` (components by name), ``seed``.
    """
    spec = job.spec
    n_classes = ExampleTable.read(job.input("examples")).n_classes
    files = {
        kind: dict(zip(spec["methods"], map(read_table, job.inputs[kind]), strict=True))
        for kind in ("outputs", "trajectories", "diagnostics")
    }

    def of(kind: str, method: str, checkpoint: str) -> pd.DataFrame:
        table = files[kind][method]
        return table[table.checkpoint == checkpoint]

    rows = []
    for method in spec["methods"]:
        for checkpoint in spec["checkpoints"]:
            cell = Cell(
                outputs=of("outputs", method, checkpoint),
                original=of("outputs", spec["original"], checkpoint),
                retrained=of("outputs", spec["retrain"], checkpoint),
                trajectory=of("trajectories", method, checkpoint),
                n_classes=n_classes,
                seed=spec["seed"],
            )
            row = {"checkpoint": checkpoint, "method": method}
            for component in spec["measures"].values():
                row |= load_implementation(component["implementation"])(cell, **component["settings"])
            notes = of("diagnostics", method, checkpoint).set_index("measure").value
            rows.append(row | {"updates": int(notes["updates"]), "diverged": bool(notes["diverged"])})
    write_table(job.outputs["table"], pd.DataFrame(rows))
