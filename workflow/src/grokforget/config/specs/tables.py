"""What the jobs that turn tidy tables into other tables are told, and which tables they read and write."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from grokforget.config.claims import Claims, claims
from grokforget.config.methods import REFERENCES
from grokforget.config.paper_tables import PAPER_TABLES, PaperTableRow
from grokforget.config.specs.base import TABLES, Item, JobSpec, Meanings, Spec
from grokforget.config.specs.runs import chance_of, place_of
from grokforget.config.specs.shown import meanings, shown
from grokforget.config.training import SelectionSettings
from grokforget.runtime import paths
from grokforget.runtime.components import ComponentSpec

if TYPE_CHECKING:
    from grokforget.config.setting import Setting
    from grokforget.config.study import Study

MATCHED = ("matched", "fronts")
"""The tables of matched forgetting."""
RUNS = ("runs", "rates")
"""The tables of what became of the runs."""
LAWS = "laws"
"""The table of power laws of their times."""
CLAIMED = ("unlearning", "analysis", "tuned", *MATCHED)
"""The tables that the claims are decided by, where the study has them."""
EXPLAINED = ("training", "checkpoints", "unlearning_along", "matched", "along", "analysis")
"""The tables that say what is lost at matched forgetting and what may explain it, where the study has them."""
EXPLAINING = ("gradient-alignment", "cka", "local-complexity", "sharpness", "distance")
"""The kinds of analyses that may."""
SUMMARIES = ("summary", "contrasts")
"""The tables that every study has beside its tidy ones."""


class SummariseSpec(JobSpec):
    """Means and paired differences over seeds."""

    function: ClassVar[str] = "grokforget.jobs.summarise:summarise"
    libraries: ClassVar[tuple[str, ...]] = TABLES


class PaperTableSpec(JobSpec):
    """A table in the paper's layout. Each is told those of the fields that its row in ``PAPER_TABLES`` names."""

    function: ClassVar[str] = "grokforget.jobs.paper_table:paper_table"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    table: ComponentSpec
    """The function that lays it out; it is given the tables and this spec."""
    study: Meanings = Meanings()
    checkpoints: list[str] = Field(default=[])
    """In the order of the rows, as the methods."""
    methods: list[str] = Field(default=[])
    settings: list[str] = Field(default=[])
    forget_sets: list[str] = Field(default=[])


class ClaimsSpec(JobSpec):
    """The verdicts on the claims."""

    function: ClassVar[str] = "grokforget.jobs.claims:claims"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    claims: Claims
    study: Meanings


class ExplainSpec(JobSpec):
    """What else explains what is lost at matched forgetting."""

    function: ClassVar[str] = "grokforget.jobs.explanations:explain"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    study: Meanings
    settings: list[str]
    """Without controls."""
    forget_sets: list[str]
    """From the last one, those that count before others."""


class InPaper(Spec):
    """A data set and a model family of the paper, by their names in its numbers."""

    dataset: str
    model: str


class PublishedSpec(JobSpec):
    """The paper's published numbers beside ours."""

    function: ClassVar[str] = "grokforget.jobs.published:published"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    study: Meanings
    beside: dict[str, InPaper]
    """The settings whose data set and model family the paper has numbers of."""
    methods: dict[str, str]
    """Name of a method → its kind."""
    numbers: str
    """SHA-256 of the file of published numbers, which belongs to the workflow and not to a study's folder."""


class TunedSpec(JobSpec):
    """Every checkpoint at its own best hyper-parameters."""

    function: ClassVar[str] = "grokforget.jobs.tuning:tuned"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    seed: int
    """The one that chooses."""


class MatchedSpec(JobSpec):
    """What is lost where as much is forgotten."""

    function: ClassVar[str] = "grokforget.jobs.tuning:match"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    seed: int
    """The one that chooses."""
    settings: list[str]
    """Without controls, in the order of the inputs ``labels``."""
    languages: list[str]
    """Those of the settings whose accuracy is extraction strength, which guessing does not give."""
    original: str
    retrain: str


class OutcomesSpec(JobSpec):
    """What became of every run, and how often."""

    function: ClassVar[str] = "grokforget.jobs.outcomes:outcomes"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    settings: list[str]
    """In the order of the inputs ``labels``."""
    grids: dict[str, str] = Field(default={})
    """By setting: the grid that it comes from."""
    columns: dict[str, dict[str, str | int | float | bool | None]] = Field(default={})
    """By setting: its labels, where it has any."""
    chance: dict[str, float]
    """By setting: the accuracy of guessing, where not classes are guessed."""
    selection: dict[str, SelectionSettings]
    """By setting: how its curves are read."""
    decay: dict[str, float]
    """By setting: what weight decay takes off the weights at every update, where it is the same share all along."""


class LawsSpec(JobSpec):
    """How the times of grokking go with what grids vary."""

    function: ClassVar[str] = "grokforget.jobs.laws:fit_laws"
    libraries: ClassVar[tuple[str, ...]] = TABLES


class ChooseSpec(JobSpec):
    """The choice of hyper-parameters, from the candidates that were tried on the tuning seed."""

    function: ClassVar[str] = "grokforget.jobs.tuning:choose"
    libraries: ClassVar[tuple[str, ...]] = TABLES

    parts: list[dict[str, str | int]]
    """Of each file of the inputs ``parts`` and ``trajectories``, in their order, the labels of its rows: setting, seed,
    method."""
    updates: Literal["any", "all"] = "any"
    """Whether the number of updates is chosen too."""


def summarise_item(study: Study) -> Item:
    """Means and paired differences over seeds of all measures."""
    return Item(SummariseSpec(), tidy(["unlearning"]), tidy(SUMMARIES))


def paper_tables_of(study: Study, tables: Collection[str]) -> list[str]:
    """Those of ``PAPER_TABLES`` that the study has something for; ``tables`` are the names of its tidy tables."""
    return [
        name
        for name, row in PAPER_TABLES.items()
        if study.unlearned and _has(study, row) and row.tables[0] in (*tables, *SUMMARIES)
    ]


def paper_table_item(study: Study, name: str, tables: Collection[str]) -> Item:
    """One of ``PAPER_TABLES``."""
    row = PAPER_TABLES[name]
    known: dict[str, Any] = {**shown(study), "study": _meanings_for(study, row)}
    spec = PaperTableSpec(
        table=ComponentSpec(implementation=row.implementation), **{field: known[field] for field in row.fields}
    )
    inputs = tidy([table for table in row.tables if table in (*tables, *SUMMARIES)])
    return Item(spec, inputs, {kind: f"paper/{name}.{kind}" for kind in ("csv", "md", "tex")})


def claims_item(study: Study, tables: Collection[str]) -> Item:
    """The verdicts on the claims, from those of the study's tidy tables that decide them."""
    spec = ClaimsSpec(claims=claims(), study=meanings(study))
    outputs = {"tests": "tables/claims.parquet", "csv": "paper/claims.csv", "md": "paper/claims.md"}
    return Item(spec, tidy([table for table in CLAIMED if table in tables]), outputs)


def explanations_item(study: Study, tables: Collection[str]) -> Item:
    """What else explains what is lost at matched forgetting; ``tables`` are the names of the study's tidy tables."""
    known = shown(study)
    analyses = {name: analysis.kind for name, analysis in study.analyses.items() if analysis.kind in EXPLAINING}
    spec = ExplainSpec(study=Meanings(analyses=analyses), settings=known["settings"], forget_sets=known["forget_sets"])
    outputs = {"table": "tables/explanations.parquet"} | {kind: f"paper/explanations.{kind}" for kind in ("csv", "md")}
    return Item(spec, tidy([table for table in EXPLAINED if table in tables]), outputs)


def published_item(study: Study) -> Item:
    """The paper's numbers beside this study's."""
    spec = PublishedSpec(
        study=meanings(study),
        beside={
            name: InPaper(dataset=data, model=model)
            for name, setting in study.settings.items()
            if (data := study.data[setting.data].in_paper) and (model := setting.model.in_paper)
        },
        methods={name: method.kind for name, method in study.methods.items()},
        numbers=hashlib.sha256(paths.PAPER_NUMBERS.read_bytes()).hexdigest(),
    )
    grouped = any(study.grouped(name) for name in study.settings)
    names = ["unlearning", "analysis", *(["groups"] if grouped else [])]
    return Item(spec, tidy(names), {"csv": "paper/published.csv", "md": "paper/published.md"})


def tuned_item(study: Study) -> Item:
    """The reported cells at the chosen hyper-parameters."""
    return Item(TunedSpec(seed=study.tuning.seed), tidy(["tuning"]), {"table": "tables/tuned.parquet"})


def matched_item(study: Study) -> Item:
    """What is lost where as much is forgotten, of all candidates, and where none are tried of the cells themselves."""
    objectives = {name: study.settings[name].training.objective_name for name in study.main_settings}
    spec = MatchedSpec(
        seed=study.tuning.seed,
        settings=list(objectives),
        languages=[name for name, objective in objectives.items() if objective == "language"],
        **{kind: study.name_of(kind) for kind in REFERENCES},
    )
    tried = [name for name in spec.settings if study.tuning_seeds(name)]
    names = ["tuning", "tuning_trajectories"] if tried else []
    unlearning = set(study.methods) - {spec.original, spec.retrain}
    if tried != spec.settings or unlearning - study.tuning.candidates.keys():
        names += ["unlearning", "trajectories"]
    labels = [paths.LABELS.format(data=study.settings[name].data) for name in spec.settings]
    return Item(spec, {**tidy(names), "labels": labels}, tidy(MATCHED))


def outcomes_item(study: Study) -> Item:
    """What became of every run, from the curves alone."""
    selection = {name: setting.selection for name, setting in study.settings.items()}
    labels = [
        # Those of a grid's job are the same for all seeds.
        place_of(study, name, study.seeds_of(name)[0]) + paths.LABELS.format(data=setting.data)
        for name, setting in study.settings.items()
    ]
    spec = OutcomesSpec(
        settings=list(selection),
        grids={name: setting.grid for name, setting in study.settings.items() if setting.grid},
        columns={name: setting.labels for name, setting in study.settings.items() if setting.labels},
        chance={name: chance for name in study.settings if (chance := chance_of(study, name)) is not None},
        selection=selection,
        decay={name: share for name, setting in study.settings.items() if (share := decay_of(setting)) is not None},
    )
    return Item(spec, {**tidy(["training"]), "labels": labels}, tidy(RUNS))


def decay_of(setting: Setting) -> float | None:
    """What weight decay takes off the weights at every update, as a share of them; None where it is not the same all along: with
    a schedule or switches, behind another run, and where the optimizer has it as a term of a gradient that it normalises, or for
    matrices by another learning rate."""
    optimizer = setting.training.optimizer
    if optimizer.schedule != "constant" or optimizer.switches or setting.starts_from:
        return None
    share = optimizer.learning_rate * optimizer.weight_decay
    return {"adamw": share, "sgd": share / (1 - optimizer.momentum)}.get(optimizer.name)


def laws_item(study: Study) -> Item:
    """Power laws of the times of grokking, from what became of every run."""
    return Item(LawsSpec(), tidy(["runs"]), tidy([LAWS]))


def tidy(names: Collection[str]) -> dict[str, str]:
    """The files of tidy tables, by the tables' names."""
    return {name: f"tables/{name}.parquet" for name in names}


def _has(study: Study, row: PaperTableRow) -> bool:
    """Whether the study has what the table shows."""
    kinds = study.analysed_kinds()
    there = {
        "controls": any(setting.control for setting in study.settings.values()),
        "random": any(rule.kind == "random" for rule in study.forget_sets.values()),
        "groups": any(study.grouped(name) for name in study.settings),
        "along": any(
            "along" in analysis.at and set(study.analysed(setting, name)) & set(study.forget_sets_along(setting))
            for name, analysis in study.analyses.items()
            if analysis.kind == row.analysis
            for setting in study.settings
        ),
    }
    return (row.analysis is None or row.analysis in kinds) and (row.needs is None or there[row.needs])


def _meanings_for(study: Study, row: PaperTableRow) -> Meanings:
    """Of the analyses what the table shows, so that another one more or less is nothing to it."""
    known = meanings(study)
    shows = {name: kind for name, kind in known.analyses.items() if kind == row.analysis}
    return known.model_copy(update={"analyses": shows})
