"""How the times of grokking go with what a grid varies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables.laws import laws

if TYPE_CHECKING:
    from grokforget.config.specs.tables import LawsSpec


def fit_laws(job: Job[LawsSpec]) -> None:
    """Reads ``runs``; writes ``laws``."""
    write_table(job.outputs["laws"], laws(read_table(job.input("runs"))))
