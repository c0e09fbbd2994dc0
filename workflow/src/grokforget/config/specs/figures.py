"""The spec of a figure, which figures a study has, and the item that draws one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from grokforget.config.claims import Claims, claims
from grokforget.config.figures import FIGURES
from grokforget.config.specs.base import PLOTS, Item, JobSpec, Meanings
from grokforget.config.specs.laboratory import laboratory, schedules
from grokforget.config.specs.shown import meanings, shown
from grokforget.runtime.components import ComponentSpec

if TYPE_CHECKING:
    from grokforget.config.study import Study

ENDINGS = ("svg", "pdf", "png")


class FigureSpec(JobSpec):
    """What a figure is told of the study: the fields that its row in ``FIGURES`` names, and no other."""

    function: ClassVar[str] = "grokforget.jobs.render:render"
    libraries: ClassVar[tuple[str, ...]] = PLOTS

    figure: ComponentSpec
    """The function that draws it."""
    settings: list[str] = Field(default=[])
    forget_sets: list[str] = Field(default=[])
    along_forget_sets: list[str] = Field(default=[])
    """Those for which snapshots along training are unlearned and analysed."""
    checkpoints: list[str] = Field(default=[])
    methods: list[str] = Field(default=[])
    along_method: str = ""
    """The method that is applied to snapshots along training."""
    retrain: str = ""
    """Name of the retrained reference among the methods."""
    study: Meanings = Meanings()
    claims: Claims | None = None


class StatisticsFigureSpec(FigureSpec):
    """The same, of a figure that computes statistics of its own: the locked SciPy decides its numbers, too."""

    libraries: ClassVar[tuple[str, ...]] = (*PLOTS, "scipy")


class ScheduleFigureSpec(FigureSpec):
    """The same, of a figure of switches on the way."""

    schedules: dict[str, dict[str, list[int]]]
    """By the setting that is first of its data and model: settings to draw together, with the steps of their switches."""


SPECS: dict[tuple[str, ...], type[FigureSpec]] = {spec.libraries: spec for spec in (FigureSpec, StatisticsFigureSpec)}
"""The class of the spec by a row's libraries."""


def figures_of(study: Study, tables: Collection[str]) -> list[str]:
    """Those of ``FIGURES`` that the study has something for; ``tables`` are the names of all its tables."""
    kinds = study.analysed_kinds()
    has = {
        None: True,
        "controls": any(setting.control for setting in study.settings.values()),
        "groups": any(study.grouped(name) for name in study.main_settings),
        "designs": any(len(study.forget_sets_of(setting)) > 2 for setting in study.settings),
        **laboratory(study),
    }
    return [
        name
        for name, row in FIGURES.items()
        if set(row.tables) <= set(tables) and kinds.issuperset(row.analyses[:1]) and has[row.needs]
    ]


def figure_item(study: Study, figure: str) -> Item:
    """The item that draws one of ``FIGURES``."""
    row = FIGURES[figure]
    names = meanings(study)
    analyses = {analysis: kind for analysis, kind in names.analyses.items() if kind in row.analyses}
    known = {
        **shown(study),
        "study": names.model_copy(update={"analyses": analyses}),
        "claims": claims(),
        **({"settings": list(study.settings)} if row.every_setting else {}),
        "schedules": schedules(study),
    }
    kind = ScheduleFigureSpec if "schedules" in row.shows else SPECS[row.libraries]
    spec = kind(figure=ComponentSpec(implementation=row.implementation), **{field: known[field] for field in row.shows})
    return Item(
        spec,
        inputs={table: f"tables/{table}.parquet" for table in row.tables},
        outputs={ending: f"figures/{figure}.{ending}" for ending in ENDINGS},
    )
