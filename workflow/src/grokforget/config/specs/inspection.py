"""Specs of what is asked of trained and unlearned models: analyses, and attacks with the runs of other seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from grokforget.config.specs.base import Item, JobSpec
from grokforget.config.specs.runs import (
    EvaluatedSpec,
    evaluated,
    examples,
    examples_and_model,
    forgotten,
    model_files,
    place_of,
    segment_files,
)
from grokforget.config.training import RecipeSpec
from grokforget.runtime import paths
from grokforget.runtime.components import ComponentSpec

if TYPE_CHECKING:
    from grokforget.config.study import Study


class AnalyseSpec(EvaluatedSpec):
    """One analysis, for one forget set, of checkpoints and of what the methods made of them."""

    function: ClassVar[str] = "grokforget.jobs.analyse:analyse"
    analysis: ComponentSpec
    forget_set: str
    recipe: RecipeSpec
    checkpoints: list[str]
    before: bool
    """Whether the checkpoints themselves are analysed."""
    methods: list[str]
    """Whose results are, in the order of the inputs."""


class AnalyseAlongTrainingSpec(EvaluatedSpec):
    """One analysis, for one forget set, of snapshots along training."""

    function: ClassVar[str] = "grokforget.jobs.analyse:analyse_along_training"
    analysis: ComponentSpec
    forget_set: str
    recipe: RecipeSpec
    snapshots: int | None


class AnalyseRunSpec(EvaluatedSpec):
    """One analysis of snapshots along the run on the full train set itself."""

    function: ClassVar[str] = "grokforget.jobs.analyse_run:analyse_run"
    analysis: ComponentSpec
    recipe: RecipeSpec
    snapshots: int | None


class ShadowSpec(EvaluatedSpec):
    """What the models of one run say of every example."""

    function: ClassVar[str] = "grokforget.jobs.shadow:shadow"
    checkpoints: list[str]


class AttackSpec(JobSpec):
    """Every cell of one forget set of a setting attacked with the other seeds' runs as shadow models."""

    function: ClassVar[str] = "grokforget.jobs.attack:attack"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    seeds: list[int]
    methods: list[str]
    checkpoints: list[str]
    train_sets: list[str]


def analyse(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """All analyses of a run, an item a (moment, forget set, analysis); of the run itself the forget set is ``full``."""
    where = {"setting": setting, "seed": seed}
    methods = [name for name in study.methods if study.methods[name].kind != "original"]
    recipe = study.settings[setting].training.recipe()
    shared = {**evaluated(study, setting, int(seed)), "recipe": recipe}
    items = {}
    for name, analysis in study.analyses.items():
        if study.analysed_run(setting, name):
            place = place_of(study, setting, int(seed))
            files: dict[str, str | list[str]] = {
                **{what: place + file for what, file in examples(study, setting, int(seed)).items()},
                **model_files(study, setting),
            }
            snapshots = segment_files(study, paths.SNAPSHOTS, setting, int(seed), paths.FULL)
            run = AnalyseRunSpec(**shared, analysis=analysis.spec(), snapshots=study.along_training.snapshots)
            table = paths.VALUES.format(**where, forget_set=paths.FULL, moment=paths.ALONG, analysis=name)
            items[f"{paths.ALONG}/{paths.FULL}/{name}"] = Item(run, {**files, "snapshots": snapshots}, {"table": table})
        for forget_set in study.analysed(setting, name):
            here = {**where, "forget_set": forget_set}
            inputs: dict[str, str | list[str]] = {
                **examples_and_model(study, setting, int(seed)),
                "forget": paths.FORGET.format(**here),
            }
            told: dict[str, Any] = {**shared, "analysis": analysis.spec(), "forget_set": forget_set}
            if {"before", "after"} & {*analysis.at}:
                after = methods if "after" in analysis.at else []
                inputs_of_models = {"checkpoints": paths.CHECKPOINT_WEIGHTS.format(**where, train_set="full")}
                if after:
                    without = f"without-{forget_set}"
                    inputs_of_models["retrained"] = paths.CHECKPOINT_WEIGHTS.format(**where, train_set=without)
                unlearned = {"unlearned": [paths.MODELS.format(**here, method=method) for method in after]}
                spec = AnalyseSpec(
                    **told,
                    checkpoints=study.checkpoints_of(setting),
                    before="before" in analysis.at,
                    methods=after,
                )
                table = paths.VALUES.format(**here, moment=paths.BEFORE, analysis=name)
                items[f"{paths.BEFORE}/{forget_set}/{name}"] = Item(
                    spec, {**inputs, **inputs_of_models, **(unlearned if after else {})}, {"table": table}
                )
            if "along" in analysis.at and forget_set in study.forget_sets_along(setting):
                snapshots = segment_files(study, paths.SNAPSHOTS, setting, int(seed), "full")
                along = AnalyseAlongTrainingSpec(**told, snapshots=study.along_training.snapshots)
                table = paths.VALUES.format(**here, moment=paths.ALONG, analysis=name)
                items[f"{paths.ALONG}/{forget_set}/{name}"] = Item(
                    along, {**inputs, "snapshots": snapshots}, {"table": table}
                )
    return items


def shadow(study: Study, setting: str) -> dict[str, Item]:
    """What the models of all runs of a setting say of every example, an item a (seed, train set): one takes less time than
    the start of a job, and the attack waits for all."""
    items = {}
    for seed in study.seeds_of(setting):
        spec = ShadowSpec(**evaluated(study, setting, seed), checkpoints=study.checkpoints_of(setting))
        for train_set in study.trained(setting, seed):
            where = {"setting": setting, "seed": seed, "train_set": train_set}
            inputs = {
                **examples_and_model(study, setting, seed),
                "checkpoints": paths.CHECKPOINT_WEIGHTS.format(**where),
                **forgotten(setting, seed, train_set),
            }
            items[f"seed{seed}/{train_set}"] = Item(spec, inputs, {"shadow": paths.SHADOW.format(**where)})
    return items


def attack(study: Study, setting: str) -> dict[str, Item]:
    """Every cell of a setting attacked, an item a forget set."""
    seeds, data = study.seeds_of(setting), study.settings[setting].data
    spec = AttackSpec(
        seeds=seeds,
        methods=list(study.methods),
        checkpoints=study.checkpoints_of(setting),
        train_sets=study.train_sets_of(setting),
    )
    items = {}
    for forget_set in study.forget_sets_of(setting):
        where = {"setting": setting, "forget_set": forget_set}
        inputs = {
            "forget": [paths.FORGET.format(**where, seed=seed) for seed in seeds],
            "split": [paths.SPLIT.format(data=data, seed=seed) for seed in seeds],
            "outputs": [
                paths.OUTPUTS.format(**where, seed=seed, method=name) for seed in seeds for name in study.methods
            ],
            "diagnostics": [
                paths.DIAGNOSTICS.format(**where, seed=seed, method=name) for seed in seeds for name in study.methods
            ],
            "shadows": [
                paths.SHADOW.format(setting=setting, seed=seed, train_set=name)
                for seed in seeds
                for name in spec.train_sets
            ],
        }
        items[forget_set] = Item(spec, inputs, {"table": paths.ATTACKED.format(**where)})
    return items
