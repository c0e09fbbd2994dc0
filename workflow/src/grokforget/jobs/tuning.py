"""Which hyper-parameters are chosen, and how the checkpoints compare at their own best ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables import tuning

if TYPE_CHECKING:
    from grokforget.config.specs.tables import ChooseSpec, TunedSpec


def tuned(job: Job[TunedSpec]) -> None:
    """Reads ``tuning``; writes ``table``, the reported cells at the chosen values."""
    spec = job.spec
    write_table(job.outputs["table"], tuning.tuned(read_table(job.input("tuning")), spec.seed))


def choose(job: Job[ChooseSpec]) -> None:
    """Reads ``parts``, the candidates that were tried; writes ``candidates`` (all of them) and ``choice``, as CSV."""
    spec = job.spec
    parts = [read_table(path).assign(**labels) for path, labels in zip(job.inputs["parts"], spec.parts, strict=True)]
    candidates, choice = tuning.choice(pd.concat(parts, ignore_index=True))
    for name, table in (("candidates", candidates), ("choice", choice)):
        write_text(job.outputs[name], table.to_csv(index=False, float_format="%.4g", lineterminator="\n"))
