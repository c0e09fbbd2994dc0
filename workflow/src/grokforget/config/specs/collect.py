"""Specs of the tidy tables of a study: which files each is collected from, and how they are labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from grokforget.config.specs.base import TABLES, Item, JobSpec
from grokforget.config.specs.inspection import analyse
from grokforget.config.specs.runs import segment_files
from grokforget.config.specs.tables import LAWS, MATCHED, RUNS, ChooseSpec
from grokforget.runtime import paths

if TYPE_CHECKING:
    from grokforget.config.study import Study

Labels = dict[str, str | int]
Part = tuple[Labels, str]
REQUEST = ["setting", "seed", "forget_set"]
CELL = [*REQUEST, "checkpoint", "method"]
VALUE = ["analysis", "measure", "part"]


class CollectSpec(JobSpec):
    """One tidy table: the rows of many files, each file's with labels of its own."""

    function: ClassVar[str] = "grokforget.jobs.collect:collect"
    libraries: ClassVar[tuple[str, ...]] = TABLES
    keys: list[str]
    """Columns that come first and, with ``then``, order the rows."""
    then: list[str]
    labels: list[Labels]
    """Columns to add, a mapping a file, in the order of the inputs; what the file has of the name is replaced."""


class ProvenanceSpec(JobSpec):
    """Who made what."""

    function: ClassVar[str] = "grokforget.jobs.provenance:provenance"
    study: dict[str, Any]


def runs(study: Study, unlearned: bool = False) -> Iterator[Labels]:
    """Every (setting, seed, train set), or those of the settings from which something is unlearned."""
    for setting, seed in study.runs():
        if unlearned and not study.unlearns(setting):
            continue
        for train_set in study.train_sets_of(setting):
            yield {"setting": setting, "seed": seed, "train_set": train_set}


def requests(study: Study) -> Iterator[Labels]:
    """Every (setting, seed, forget set)."""
    for setting, seed, forget_set in study.requests():
        yield {"setting": setting, "seed": seed, "forget_set": forget_set}


def parts(pattern: str, labels: Iterable[Labels]) -> list[Part]:
    """A file a mapping of labels, which its path is made of."""
    return [(one, pattern.format(**one)) for one in labels]


def training(study: Study) -> list[Part]:
    """The curves of all segments, those of a run that one goes on from included."""
    return [
        (run, file)
        for run in runs(study)
        for file in segment_files(study, paths.CURVE, str(run["setting"]), int(run["seed"]), str(run["train_set"]))
    ]


def cells(study: Study) -> Iterator[Labels]:
    """Every (setting, seed, forget set, method)."""
    for request in requests(study):
        for method in study.methods:
            yield {**request, "method": method}


def groups(study: Study) -> Iterator[Labels]:
    """Every (setting, seed, forget set) whose examples are a group."""
    return (one for one in requests(study) if one["forget_set"] in study.grouped(str(one["setting"])))


def unlearning_along(study: Study) -> list[Part]:
    """What one method makes of snapshots along training."""
    along = ((setting, seed, name) for setting, seed in study.runs() for name in study.forget_sets_along(setting))
    return parts(paths.UNLEARNED_ALONG, (dict(zip(REQUEST, one, strict=True)) for one in along))


def values(study: Study, moment: str) -> list[Part]:
    """The analyses of one moment: of checkpoints and results, or along training."""
    found = []
    of_setting: dict[str, list[list[str]]] = {}
    for setting, seed in study.runs():
        if setting not in of_setting:
            of_setting[setting] = [name.split("/") for name in analyse(study, setting, str(seed))]
        for when, forget_set, analysis in of_setting[setting]:
            labels: Labels = {"setting": setting, "seed": seed, "forget_set": forget_set, "analysis": analysis}
            if when == moment:
                found.append((labels, paths.VALUES.format(**labels, moment=moment)))
    return found


def analysis(study: Study) -> list[Part]:
    """The analyses of checkpoints and results, and, under ``unlearning``, what the methods say of themselves."""
    if not study.unlearned:
        return []
    original = study.name_of("original")
    notes = [
        (
            {**request, "stage": "before" if method == original else method, "analysis": "unlearning", "part": ""},
            paths.DIAGNOSTICS.format(**request, method=method),
        )
        for request in requests(study)
        for method in study.methods
    ]
    return [*notes, *values(study, paths.BEFORE)]


def batch_norm(study: Study) -> list[Part]:
    """What the statistics of batch norms make of the results, where models have such."""
    found = [one for one in cells(study) if study.settings[str(one["setting"])].model.has_batch_norm]
    return parts(paths.BATCH_NORM, found)


def membership(study: Study) -> list[Part]:
    """The attacks with shadow models."""
    if not study.likelihood_ratio_attack:
        return []
    found: list[Labels] = [
        {"setting": name, "forget_set": one} for name in study.settings for one in study.forget_sets_of(name)
    ]
    return parts(paths.ATTACKED, found)


def tuning(study: Study, pattern: str = paths.TUNING) -> list[Part]:
    """The candidates that were tried."""
    return parts(pattern, tried(study, study.tuning_seeds))


def tried(study: Study, seeds: Callable[[str], list[int]]) -> Iterator[Labels]:
    """Every (setting, seed, method) whose candidates are tried."""
    for setting in study.settings:
        for seed in seeds(setting) if study.tuning_seeds(setting) else []:
            for method in study.tuning.candidates:
                yield {"setting": setting, "seed": seed, "method": method}


class TableRow(NamedTuple):
    """A tidy table: the columns that come first, further ones that order its rows, what it is collected from, and what it
    holds."""

    keys: list[str]
    then: list[str]
    find: Callable[[Study], list[Part]]
    caption: str


COLLECTED: dict[str, TableRow] = {
    "training": TableRow(
        ["setting", "train_set", "seed"],
        ["step"],
        training,
        "Accuracy and loss on train, validation and test set and weight norm along every training run; one row an evaluation.",
    ),
    "checkpoints": TableRow(
        ["setting", "train_set", "seed", "checkpoint"],
        [],
        lambda study: parts(paths.CHECKPOINT_TABLE, runs(study, unlearned=True)),
        "The checkpoints of every run, with the times of memorisation (t_mem) and of grokking (t_grok) in steps, and the kind "
        "of curve.",
    ),
    "unlearning": TableRow(
        CELL,
        [],
        lambda study: parts(paths.METRICS, requests(study)),
        "One row a cell (setting, seed, forget set, checkpoint, method): accuracies in [0, 1] and the further metrics.",
    ),
    "trajectories": TableRow(
        CELL,
        ["update", "final"],
        lambda study: parts(paths.TRAJECTORY, cells(study)),
        "Accuracies and losses at every evaluated update of every cell; `final` marks the method's result.",
    ),
    "batch_norm": TableRow(
        CELL,
        ["statistics"],
        batch_norm,
        "Every cell of a model with batch norms by their running statistics: as the method left them, frozen during "
        "unlearning, and recalibrated on retained data, as in all other tables.",
    ),
    "groups": TableRow(
        [*REQUEST, "example"],
        [],
        lambda study: parts(paths.GROUP, groups(study)),
        "The examples of every group by how their losses went: loss at the candidate epoch and at the end of the run on the full "
        "train set (nats), and how long question and answer are.",
    ),
    "group_losses": TableRow(
        [*REQUEST, "step"],
        [],
        lambda study: parts(paths.GROUP_LOSSES, groups(study)),
        "The mean loss of every group's examples, and of the right answers to their paraphrased questions, along the run on the "
        "full train set (nats).",
    ),
    "unlearning_along": TableRow(
        REQUEST,
        ["step"],
        unlearning_along,
        "Accuracies before and after one method, applied to snapshots along training.",
    ),
    "analysis": TableRow(
        [*REQUEST, "checkpoint", "stage", *VALUE],
        ["value"],
        analysis,
        "The analyses of checkpoints (stage `before`) and of what each method made of them, and what the methods report of "
        "themselves, e.g. the share of weights at the clamp of Fisher forgetting.",
    ),
    "along": TableRow(
        [*REQUEST, "step", *VALUE],
        ["value"],
        lambda study: values(study, paths.ALONG),
        "The analyses of snapshots along training.",
    ),
    "membership": TableRow(
        CELL, [], membership, "Every cell attacked with the runs of the other seeds as shadow models (LiRA)."
    ),
    "tuning": TableRow(
        [*CELL, "parameter", "value"],
        [],
        tuning,
        "Every candidate hyper-parameter of every method: accuracies before and after unlearning, and of the retrained "
        "model.",
    ),
    "tuning_trajectories": TableRow(
        [*CELL, "parameter", "value"],
        ["update", "final"],
        lambda study: tuning(study, paths.TUNING_TRAJECTORY),
        "Accuracies of every candidate at the updates by which its forget accuracy changes.",
    ),
}
TUNED = "tuned"
SUMMARIES = ("summary", "contrasts", "claims", "explanations")


def collected(study: Study) -> list[str]:
    """The tables that are collected from the jobs' files."""
    return [name for name, row in COLLECTED.items() if row.find(study)]


def tables_of(study: Study) -> list[str]:
    """The tables of the study, all but those that summarise others."""
    found = collected(study)
    return [
        *found,
        *([TUNED] if "tuning" in found else []),
        *(MATCHED if study.unlearned else ()),
        *RUNS,
        *([LAWS] if study.grids else []),
    ]


def summaries_of(study: Study) -> tuple[str, ...]:
    """The tables that summarise others: of unlearning, so none where there is none."""
    return SUMMARIES if study.unlearned else ()


def collect(study: Study, table: str) -> dict[str, Item]:
    """One tidy table of the whole study."""
    row = COLLECTED[table]
    found = row.find(study)
    spec = CollectSpec(keys=row.keys, then=row.then, labels=[labels for labels, _ in found])
    return {"": Item(spec, {"parts": [file for _, file in found]}, {"table": paths.TABLE.format(table=table)})}


def choose(study: Study) -> dict[str, Item]:
    """The choice among all candidates, on the tuning seed."""
    labels = list(tried(study, lambda setting: [study.tuning.seed]))
    spec = ChooseSpec(parts=labels, updates=study.tuning.updates)
    outputs = {"choice": "tuning/choice.csv", "candidates": "tuning/candidates.csv"}
    patterns = {"parts": paths.TUNING, "trajectories": paths.TUNING_TRAJECTORY}
    inputs = {name: [pattern.format(**one) for one in labels] for name, pattern in patterns.items()}
    return {"": Item(spec, inputs, outputs)}


def products(
    tables: list[str], paper_tables: list[str], figures: list[str], summaries: tuple[str, ...] = SUMMARIES
) -> list[str]:
    """The files that a study is asked for."""
    wanted = {
        "tables": ([*tables, *summaries], ("parquet",)),
        "figures": (figures, ("svg", "pdf", "png")),
        "paper": (paper_tables, ("csv", "md", "tex")),
    }
    pages = [f"paper/{name}.{ending}" for name in ("claims", "explanations", "published") for ending in ("csv", "md")]
    return (pages if summaries else []) + [
        f"{folder}/{name}.{ending}"
        for folder, (names, endings) in wanted.items()
        for name in names
        for ending in endings
    ]


def provenance(study: Study, products: list[str]) -> dict[str, Item]:
    """Who made what; ``products`` are all tables and figures."""
    spec = ProvenanceSpec(study=study.model_dump(mode="json"))
    return {"": Item(spec, {"products": products}, {"provenance": "provenance.json"})}
