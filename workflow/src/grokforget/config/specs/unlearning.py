"""Specs of unlearning, along training too, of its metrics, and of the candidates of the methods' hyper-parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from grokforget.config.methods import REFERENCES
from grokforget.config.metrics import language_outputs
from grokforget.config.specs.base import Item, JobSpec
from grokforget.config.specs.runs import EvaluatedSpec, evaluated, examples_and_model, segment_files
from grokforget.runtime import paths
from grokforget.runtime.components import ComponentSpec

if TYPE_CHECKING:
    from grokforget.config.study import Study


class FollowedSpec(EvaluatedSpec):
    """What every job depends on that follows methods on their way."""

    trajectory_examples: int | None = None
    """How many examples of each set at most the rows of trajectories are of; None: all."""


class UnlearnSpec(FollowedSpec):
    """One method on one forget set, from every checkpoint of a run."""

    function: ClassVar[str] = "grokforget.jobs.unlearn:unlearn"
    method: ComponentSpec
    forget_set: str
    checkpoints: list[str]
    stride: int | None
    """Updates between two evaluations; None: where the forget accuracy changes."""
    updates: int | None
    """After how many the model is the result; None: the method's own end."""
    outputs: ComponentSpec | None = None
    """What is said of every pair of a language model; None: of every example, ``per_example``."""


class UnlearnAlongTrainingSpec(FollowedSpec):
    """One method on one forget set, from snapshots along training."""

    function: ClassVar[str] = "grokforget.jobs.unlearn_along_training:unlearn_along_training"
    method: ComponentSpec
    forget_set: str
    snapshots: int | None


class MeasureSpec(JobSpec):
    """All metrics of all methods and checkpoints on one forget set of a run."""

    function: ClassVar[str] = "grokforget.jobs.measure:measure"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    methods: list[str]
    """In the order of the inputs."""
    original: str
    retrain: str
    checkpoints: list[str]
    metrics: dict[str, ComponentSpec]
    seed: int


class MeasureByTestsSpec(MeasureSpec):
    """The same, with metrics among them that are statistical tests."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")


class TuneSpec(FollowedSpec):
    """Every candidate of one method's hyper-parameter, on every forget set of the tuning, from every checkpoint."""

    function: ClassVar[str] = "grokforget.jobs.tune:tune"
    method: ComponentSpec
    parameter: str
    candidates: list[int | float]
    forget_sets: list[str]
    """In the order of the inputs."""
    checkpoints: list[str]


def followed(study: Study, setting: str, seed: int) -> dict[str, Any]:
    """The values of ``FollowedSpec``."""
    return {**evaluated(study, setting, seed), "trajectory_examples": study.trajectory_examples}


def unlearn(study: Study, setting: str, seed: str, forget_set: str) -> dict[str, Item]:
    """All methods on one forget set of a run, an item each. Only the method that is the retrained model gets to see it."""
    where = {"setting": setting, "seed": seed}
    shared = {**followed(study, setting, int(seed)), "checkpoints": study.checkpoints_of(setting)}
    inputs = {
        **examples_and_model(study, setting, int(seed)),
        "forget": paths.FORGET.format(**where, forget_set=forget_set),
        "checkpoints": paths.CHECKPOINT_WEIGHTS.format(**where, train_set="full"),
    }
    retrained = paths.CHECKPOINT_WEIGHTS.format(**where, train_set=f"without-{forget_set}")
    patterns = {"trajectory": paths.TRAJECTORY, "outputs": paths.OUTPUTS, "diagnostics": paths.DIAGNOSTICS}
    if study.settings[setting].model.has_batch_norm:
        patterns["batch_norm"] = paths.BATCH_NORM
    of_language = study.settings[setting].training.objective_name == "language"
    outputs_spec = language_outputs(study.metrics.values()) if of_language else None
    items = {}
    for name in study.methods:
        method = study.method(setting, name)
        spec = UnlearnSpec(
            **shared,
            method=method.spec(),
            forget_set=forget_set,
            stride=study.settings[setting].trajectory_stride or study.trajectory_stride,
            updates=getattr(method, "updates", None),
            outputs=outputs_spec,
        )
        own = {"retrained": retrained} if method.kind == "retrain" else {}
        kept = {"models": paths.MODELS} if study.keeps_models(setting, forget_set, name) else {}
        written = {**kept, **patterns}
        outputs = {what: p.format(**where, forget_set=forget_set, method=name) for what, p in written.items()}
        items[name] = Item(spec, {**inputs, **own}, outputs)
    return items


def unlearn_along_training(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """One method from snapshots along training, an item a forget set."""
    along = study.along_training
    items = {}
    for name in study.forget_sets_along(setting):
        where = {"setting": setting, "seed": seed, "forget_set": name}
        spec = UnlearnAlongTrainingSpec(
            **followed(study, setting, int(seed)),
            method=study.method(setting, study.along_method).spec(),
            forget_set=name,
            snapshots=along.snapshots,
        )
        inputs = {
            **examples_and_model(study, setting, int(seed)),
            "forget": paths.FORGET.format(**where),
            "snapshots": segment_files(study, paths.SNAPSHOTS, setting, int(seed), "full"),
        }
        items[name] = Item(spec, inputs, {"table": paths.UNLEARNED_ALONG.format(**where)})
    return items


def measure(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """All metrics of all cells of a run, an item a forget set."""
    tests = any(metric.libraries for metric in study.metrics.values())
    spec = (MeasureByTestsSpec if tests else MeasureSpec)(
        methods=list(study.methods),
        **{kind: study.name_of(kind) for kind in REFERENCES},
        checkpoints=study.checkpoints_of(setting),
        metrics={name: metric.spec() for name, metric in study.metrics.items()},
        seed=int(seed),
    )
    files = {"outputs": paths.OUTPUTS, "trajectory": paths.TRAJECTORY, "diagnostics": paths.DIAGNOSTICS}
    items = {}
    for name in study.forget_sets_of(setting):
        where = {"setting": setting, "seed": seed, "forget_set": name}
        inputs: dict[str, str | list[str]] = {"examples": paths.EXAMPLES.format(data=study.settings[setting].data)}
        for what, pattern in files.items():
            inputs[what] = [pattern.format(**where, method=method) for method in study.methods]
        items[name] = Item(spec, inputs, {"table": paths.METRICS.format(**where)})
    return items


def tune(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """Every candidate of every method, an item a method."""
    where = {"setting": setting, "seed": seed}
    forget_sets = study.forget_sets_tuned(setting)
    inputs = {
        **examples_and_model(study, setting, int(seed)),
        "forget": [paths.FORGET.format(**where, forget_set=name) for name in forget_sets],
        "checkpoints": paths.CHECKPOINT_WEIGHTS.format(**where, train_set="full"),
        "retrained": [paths.CHECKPOINT_WEIGHTS.format(**where, train_set=f"without-{name}") for name in forget_sets],
    }
    return {
        name: Item(
            TuneSpec(
                **followed(study, setting, int(seed)),
                method=study.method(setting, name).spec(),
                parameter=candidates.parameter,
                candidates=candidates.values,
                forget_sets=forget_sets,
                checkpoints=study.checkpoints_of(setting),
            ),
            inputs,
            {
                "table": paths.TUNING.format(**where, method=name),
                "trajectory": paths.TUNING_TRAJECTORY.format(**where, method=name),
            },
        )
        for name, candidates in study.tuning.candidates.items()
    }
