"""The paper's published numbers beside this study's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table
from grokforget.runtime.job import Job
from grokforget.runtime.paths import PAPER_NUMBERS
from grokforget.tables import published as tables

if TYPE_CHECKING:
    from grokforget.config.specs.tables import PublishedSpec


def published(job: Job[PublishedSpec]) -> None:
    """Put our means and standard deviations beside the paper's.

    Reads ``unlearning``, ``analysis``, ``groups`` where the study has some, and the workflow's file of published numbers; writes
    ``csv`` and ``md``.
    """
    spec = job.spec
    ours = {name: read_table(job.input(name)) for name in job.inputs}
    table, page = tables.published(pd.read_csv(PAPER_NUMBERS), ours, spec)
    write_text(job.outputs["csv"], table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(job.outputs["md"], page)
