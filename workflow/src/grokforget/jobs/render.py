"""The job of a figure: reads its tables, has it drawn, and saves it in three formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.figures.parts.style import save
from grokforget.runtime.files import read_table

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec
    from grokforget.runtime.job import Job


def render(job: Job[FigureSpec]) -> None:
    """Inputs: the tables by name, one file each. Outputs: ``svg``, ``pdf``, ``png``. Spec: ``FigureSpec``."""
    tables = {name: read_table(job.input(name)) for name in job.inputs}
    save(job.spec.figure.build(tables, job.spec), job.outputs)
