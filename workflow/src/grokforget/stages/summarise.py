"""Means and paired differences over seeds, as tables."""

from __future__ import annotations

from grokforget.analysis.statistics import CELL, mean_and_spread, paired_differences
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table

CONTRASTS = (("grokked", "early"), ("grokked", "memorised"))


def summarise(job: Job) -> None:
    """Reads ``unlearning``; writes ``summary`` (mean, standard deviation) and ``contrasts`` (paired differences with
    their intervals, tests, effects and ratios of variances)."""
    table = read_table(job.input("unlearning"))
    measures = [name for name in table.columns if name not in (*CELL, "seed")]
    write_table(job.outputs["summary"], mean_and_spread(table, measures))
    write_table(job.outputs["contrasts"], paired_differences(table, measures, CONTRASTS))
