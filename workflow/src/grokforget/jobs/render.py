"""The job of a figure: reads its tables, has it drawn, and saves it in three formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.figures.parts.style import save
from grokforget.runtime.files import read_table
from grokforget.statistics.flags import counted
from grokforget.statistics.left_out import note_of

if TYPE_CHECKING:
    import pandas as pd

    from grokforget.config.specs.figures import FigureSpec
    from grokforget.runtime.job import Job


def render(job: Job[FigureSpec]) -> None:
    """Inputs: the tables by name, one file each. Outputs: ``svg``, ``pdf``, ``png``. Spec: ``FigureSpec``.

    A figure is not given flagged rows; what they are is said below it.
    """
    tables = {name: read_table(job.input(name)) for name in job.inputs}
    figure = job.spec.figure.build({name: counted(table) for name, table in tables.items()}, job.spec)
    save(figure, job.outputs, note_of(drawn(table, job.spec) for table in tables.values()))


def drawn(table: pd.DataFrame, spec: FigureSpec) -> pd.DataFrame:
    """The rows of the settings that a figure is told to draw, and of their controls."""
    controls = [name for name, control in spec.study.controls.items() if control.of in spec.settings]
    return table[table.setting.isin([*spec.settings, *controls])] if spec.settings else table
