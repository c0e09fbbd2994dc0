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

    Reads ``examples`` and, in the folder ``unlearned``, ``<method>/outputs``, ``trajectory`` and ``diagnostics``. Writes
    ``table``: a row a (checkpoint, method). Spec: ``methods`` (names), ``original`` and ``retrain`` (which of them are the
    references), ``checkpoints``, ``measures`` (components by name), ``seed``.
    """
    spec = job.spec
    n_classes = ExampleTable.read(job.input("examples")).n_classes
    folder = job.input("unlearned")
    files = {
        kind: {method: read_table(folder / method / f"{kind}.parquet") for method in spec["methods"]}
        for kind in ("outputs", "trajectory", "diagnostics")
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
                trajectory=of("trajectory", method, checkpoint),
                n_classes=n_classes,
                seed=spec["seed"],
            )
            row = {"checkpoint": checkpoint, "method": method}
            for component in spec["measures"].values():
                row |= load_implementation(component["implementation"])(cell, **component["settings"])
            notes = of("diagnostics", method, checkpoint).set_index("measure").value
            rows.append(row | {"updates": int(notes["updates"]), "diverged": bool(notes["diverged"])})
    write_table(job.outputs["table"], pd.DataFrame(rows))
