"""Means and paired differences over seeds, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables.summary import contrasts, summary

if TYPE_CHECKING:
    from grokforget.config.specs.tables import SummariseSpec


def summarise(job: Job[SummariseSpec]) -> None:
    """Reads ``unlearning``; writes ``summary`` (mean, standard deviation) and ``contrasts`` (paired differences with
    their intervals, tests, effects and ratios of variances)."""
    table = read_table(job.input("unlearning"))
    write_table(job.outputs["summary"], summary(table))
    write_table(job.outputs["contrasts"], contrasts(table))
