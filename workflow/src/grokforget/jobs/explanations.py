"""What else explains what is lost at matched forgetting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables.explanations import explanations
from grokforget.tables.explanations_page import page

if TYPE_CHECKING:
    from grokforget.config.specs.tables import ExplainSpec


def explain(job: Job[ExplainSpec]) -> None:
    """Put the candidates side by side.

    Reads ``training`` and ``checkpoints`` and, where there are such, ``unlearning_along``, ``matched``, ``along`` and
    ``analysis``. Writes ``table`` (Parquet), ``csv`` (the same) and ``md``.
    """
    spec = job.spec
    tables = {name: read_table(paths[0]) for name, paths in job.inputs.items() if paths}
    table = explanations(tables, spec.study, spec.settings, spec.forget_sets)
    write_table(job.outputs["table"], table)
    write_text(job.outputs["csv"], table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(job.outputs["md"], page(table))
