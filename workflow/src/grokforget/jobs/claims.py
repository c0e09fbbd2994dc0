"""The verdicts on the claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.statistics.claims import conclude, evaluate
from grokforget.tables.claims import page, with_statements

if TYPE_CHECKING:
    from grokforget.config.specs.tables import ClaimsSpec


def claims(job: Job[ClaimsSpec]) -> None:
    """Decide every claim.

    Reads the tables that there are of those that tests name. Writes ``tests`` (Parquet: a row a claim, test
    and setting), ``csv`` (the same, with the claim, its verdict and the published figure) and ``md``.
    """
    spec = job.spec
    tables = {name: read_table(paths[0]) for name, paths in job.inputs.items() if paths}
    tests = evaluate(spec.claims, tables, spec.study)
    verdicts = conclude(spec.claims, tests)
    rows = with_statements(verdicts, tests)
    write_table(job.outputs["tests"], tests)
    write_text(job.outputs["csv"], rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(job.outputs["md"], page(spec.claims, verdicts, tests))
