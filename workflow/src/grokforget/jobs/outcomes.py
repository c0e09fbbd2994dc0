"""What became of every run, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables.runs import labelled, rates, runs

if TYPE_CHECKING:
    from grokforget.config.specs.tables import OutcomesSpec


def outcomes(job: Job[OutcomesSpec]) -> None:
    """Reads ``training``, and ``labels`` (a file a setting of the spec, a line a class); writes ``runs`` and ``rates``."""
    selection = job.spec.selection
    # In the order of the files: a spec is read with its keys in alphabetical order.
    chance = {
        setting: known if (known := job.spec.chance.get(setting)) is not None else 1 / len(pd.read_csv(path))
        for setting, path in zip(job.spec.settings, job.inputs["labels"], strict=True)
    }
    table = runs(read_table(job.input("training")), selection, chance, job.spec.decay)
    for name, one in (("runs", table), ("rates", rates(table))):
        write_table(job.outputs[name], labelled(one, job.spec.grids, job.spec.columns))
