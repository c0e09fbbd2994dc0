"""A table in the paper's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table
from grokforget.runtime.job import Job
from grokforget.statistics.flags import counted
from grokforget.statistics.left_out import note_of
from grokforget.tables.text import csv, latex, markdown

if TYPE_CHECKING:
    from grokforget.config.specs.tables import PaperTableSpec
    from grokforget.tables.paper import PaperTable


def paper_table(job: Job[PaperTableSpec]) -> None:
    """Lay out one of ``config.paper_tables.PAPER_TABLES``.

    Reads the tidy tables that there are of those that its row names; writes ``csv`` (means and deviations as numbers), ``md``
    and ``tex`` (as text). A layout is not given flagged rows; what they are is said in the note.
    """
    spec = job.spec
    tables = {name: read_table(paths[0]) for name, paths in job.inputs.items() if paths}
    table: PaperTable = spec.table.build({name: counted(given) for name, given in tables.items()}, spec)
    note = f"{table.note} {note_of(tables[name] for name in table.shows or tables)}".strip()
    write_text(job.outputs["csv"], csv(table.numbers))
    write_text(job.outputs["md"], markdown(table.text, note))
    write_text(job.outputs["tex"], latex(table.text, note))
