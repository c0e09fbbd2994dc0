"""Specs of the jobs that belong to a run: from a data set to the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from grokforget.config.specs.base import TABLES, TORCH, Item, JobSpec
from grokforget.config.training import RecipeSpec, SelectionSettings
from grokforget.runtime import paths
from grokforget.runtime.components import ComponentSpec

if TYPE_CHECKING:
    from grokforget.config.setting import Setting
    from grokforget.config.study import Study


Memory = Literal["optimizer", "gradient_filter"]
"""What remembers something from one update to the next."""


class ModelSpec(ComponentSpec):
    """A model, the factor on its initial weights, and the libraries beside torch that decide what it computes."""

    alpha: float = 1.0
    libraries: tuple[str, ...] = ()


class ComputeSpec(JobSpec):
    """What every job that runs a model depends on."""

    libraries: ClassVar[tuple[str, ...]] = TORCH
    model: ModelSpec
    objective: ComponentSpec
    """What the setting's model is trained for (``training/objective.py``)."""
    seed: int
    threads: int
    device: str

    def decided_by(self) -> tuple[str, ...]:
        return *self.libraries, *self.model.libraries


class EvaluatedSpec(ComputeSpec):
    """What every job depends on that looks at trained or unlearned models."""

    recalibration_examples: int | None = None
    """How many examples at most the statistics of batch norms are computed anew on; None: the model has none."""


class PrepareSpec(JobSpec):
    """All examples of a data set."""

    function: ClassVar[str] = "grokforget.jobs.prepare:prepare"
    libraries: ClassVar[tuple[str, ...]] = (
        *("numpy", "scikit-learn", "pandas", "pyarrow"),
        *("pillow", "scipy", "torchvision", "tokenizers"),
    )
    data: ComponentSpec


class SplitSpec(JobSpec):
    """Train, validation and test indices of one seed, and its label noise."""

    function: ClassVar[str] = "grokforget.jobs.prepare:split"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    data: ComponentSpec
    seed: int
    label_noise: float | Literal["random"]


class ForgetSpec(JobSpec):
    """One forget set of a run."""

    function: ClassVar[str] = "grokforget.jobs.prepare:forget"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    forget_set: ComponentSpec
    name: str
    seed: int


class DifficultySpec(ComputeSpec):
    """The training examples' difficulty, for a forget set that is drawn by it."""

    function: ClassVar[str] = "grokforget.jobs.difficulty:difficulty"
    score: str
    snapshots: int


class LossesSpec(ComputeSpec):
    """The training examples' losses along the run, for a forget set that is drawn by how they went."""

    function: ClassVar[str] = "grokforget.jobs.losses:record_losses"
    from_epoch: float
    snapshots: int
    batch_size: int | None


class GroupSpec(JobSpec):
    """What the examples of a forget set by how their losses went are like."""

    function: ClassVar[str] = "grokforget.jobs.groups:describe"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "tokenizers")


class TrainSpec(ComputeSpec):
    """One segment; it depends on the recipe and on where it ends, not on how long the run is to be."""

    function: ClassVar[str] = "grokforget.jobs.train:train_segment"
    recipe: RecipeSpec
    stop: int
    processes: int
    """How many train together, each on a GPU of its own where the device is one."""
    takes_over: tuple[Memory, ...] = ("optimizer", "gradient_filter")
    """Whose memory is that of the state that the segment goes on from."""
    transferred: tuple[str, ...] = ()
    """The layers that begin with the weights of another setting's run."""


class StackedSpec(TrainSpec):
    """One segment of a run that may take its steps together with others."""

    function: ClassVar[str] = "grokforget.jobs.stack:train_stack"


class SelectSpec(JobSpec):
    """The checkpoints of the run on one train set."""

    function: ClassVar[str] = "grokforget.jobs.select:select"
    libraries: ClassVar[tuple[str, ...]] = TABLES
    selection: SelectionSettings
    checkpoints: list[str]
    model: ModelSpec | None = None
    """Given where there is a checkpoint ``rescaled``, which is of homogeneous models alone."""
    chance: float | None = None
    """The accuracy of guessing, where not classes are guessed."""


def compute(study: Study, setting: str, seed: int) -> dict[str, Any]:
    """The values of ``ComputeSpec``."""
    settings = study.settings[setting]
    return {
        "model": model_spec(settings),
        "objective": settings.training.objective(),
        "seed": seed,
        "threads": study.threads,
        "device": study.device,
    }


def evaluated(study: Study, setting: str, seed: int) -> dict[str, Any]:
    """The values of ``EvaluatedSpec``."""
    normed = study.settings[setting].model.has_batch_norm
    return {
        **compute(study, setting, seed),
        "recalibration_examples": study.recalibration_examples if normed else None,
    }


def model_spec(setting: Setting) -> ModelSpec:
    """The setting's model."""
    model = setting.model
    return ModelSpec(**dict(model.spec()), alpha=setting.initialisation_scale, libraries=model.libraries)


def chance_of(study: Study, setting: str) -> float | None:
    """The accuracy of guessing: of texts, whose extraction strength it is, none; of numbers that of the best constant. None where
    classes are guessed, of which the data tell how many there are."""
    settings = study.settings[setting]
    if settings.training.objective_name == "language":
        return 0.0
    return study.data[settings.data].chance(settings.training.tolerance)


def examples(study: Study, setting: str, seed: int) -> dict[str, str]:
    """The files of a setting's data."""
    data = study.settings[setting].data
    return {"examples": paths.EXAMPLES.format(data=data), "split": paths.SPLIT.format(data=data, seed=seed)}


def examples_and_model(study: Study, setting: str, seed: int) -> dict[str, str | list[str]]:
    """The files of a setting's data, and those of its model."""
    return {**examples(study, setting, seed), **model_files(study, setting)}


def model_files(study: Study, setting: str) -> dict[str, list[str]]:
    """The user's files that a setting's model is read from; nothing of most models."""
    files = study.settings[setting].model.files()
    return {"model": files} if files else {}


def place_of(study: Study, setting: str, seed: int) -> str:
    """The folder, with a slash, in which the files of a run lie that is trained together with others; else nothing."""
    owner = study.settings[setting]
    return f"{paths.TOGETHER.format(grid=owner.grid or setting, seed=seed)}/" if owner.together else ""


def segment_files(study: Study, pattern: str, setting: str, seed: int, train_set: str) -> list[str]:
    """A file of every segment of a run, in order, those of a run that it goes on from included."""
    place = place_of(study, setting, seed)
    return [
        place + pattern.format(setting=owner, seed=seed, train_set=train_set, segment=segment)
        for owner, segment in study.way(setting)
    ]


def forgotten(setting: str, seed: int, train_set: str) -> dict[str, str]:
    """The forget set that a run is trained without; nothing for the full train set."""
    if train_set == "full":
        return {}
    name = train_set.removeprefix("without-")
    return {"forget": paths.FORGET.format(setting=setting, seed=seed, forget_set=name)}


def prepare(study: Study, data: str) -> dict[str, Item]:
    """A data set."""
    settings = study.data[data]
    spec = PrepareSpec(data=settings.spec())
    inputs = {"files": settings.files()} if settings.files() else {}
    outputs = {"examples": paths.EXAMPLES, "labels": paths.LABELS}
    return {"": Item(spec, inputs, {name: pattern.format(data=data) for name, pattern in outputs.items()})}


def split(study: Study, data: str, seed: str) -> dict[str, Item]:
    """A data set's split for one seed."""
    spec = SplitSpec(data=study.data[data].spec(), seed=int(seed), label_noise=study.data[data].label_noise)
    inputs = {"examples": paths.EXAMPLES.format(data=data)}
    return {"": Item(spec, inputs, {"split": paths.SPLIT.format(data=data, seed=seed)})}


def difficulty(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """The difficulty of a run's training examples, or how their losses went, an item a forget set that is drawn by it."""
    inputs = {
        **examples_and_model(study, setting, int(seed)),
        "snapshots": segment_files(study, paths.SNAPSHOTS, setting, int(seed), "full"),
    }
    items = {}
    for name in study.scored(setting):
        asked = {**compute(study, setting, int(seed)), **study.forget_sets[name].difficulty()}
        if "from_epoch" in asked:
            spec: JobSpec = LossesSpec(**asked, batch_size=study.settings[setting].training.batch_size)
        else:
            spec = DifficultySpec(**asked)
        output = paths.DIFFICULTY.format(setting=setting, seed=seed, forget_set=name)
        items[name] = Item(spec, inputs, {"difficulty": output})
    return items


def forget(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """All forget sets of a run, an item each."""
    items = {}
    for name in study.forget_sets_of(setting):
        where = {"setting": setting, "seed": seed, "forget_set": name}
        inputs = examples(study, setting, int(seed))
        if name in study.scored(setting):
            inputs["difficulty"] = paths.DIFFICULTY.format(**where)
        spec = ForgetSpec(forget_set=study.forget_sets[name].spec(), name=name, seed=int(seed))
        items[name] = Item(spec, inputs, {"forget": paths.FORGET.format(**where)})
    return items


def describe(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """What the examples of the groups of a run are like, an item a forget set."""
    items = {}
    for name in study.grouped(setting):
        where = {"setting": setting, "seed": seed, "forget_set": name}
        inputs = {
            "examples": paths.EXAMPLES.format(data=study.settings[setting].data),
            "forget": paths.FORGET.format(**where),
            "difficulty": paths.DIFFICULTY.format(**where),
        }
        outputs = {"examples": paths.GROUP.format(**where), "losses": paths.GROUP_LOSSES.format(**where)}
        items[name] = Item(GroupSpec(), inputs, outputs)
    return items


def takes_over(study: Study, setting: str, owner: str) -> tuple[Memory, ...]:
    """Whose memory a segment of a setting goes on with from the ``owner`` of the segment before it."""
    ours, theirs = (study.settings[name].training.optimizer for name in (setting, owner))
    same: dict[Memory, bool] = {
        "optimizer": ours.name == theirs.name,
        "gradient_filter": ours.gradient_filter == theirs.gradient_filter,
    }
    return tuple(what for what, is_same in same.items() if is_same)


def state_at(way: list[tuple[str, str]], where: Mapping[str, Any]) -> str:
    """The state at the end of a way."""
    owner, last = way[-1]
    return paths.STATE.format(**{**where, "setting": owner}, segment=last)


def train(study: Study, setting: str, seed: str, train_set: str, segment: str) -> dict[str, Item]:
    """One segment of a run."""
    where = {"setting": setting, "seed": seed, "train_set": train_set}
    training = study.settings[setting].training
    stop = int(segment) * training.segment_steps
    before, transfer = study.way(setting, stop - training.segment_steps), study.settings[setting].transfer
    kind = StackedSpec if study.settings[setting].together == "stacked" else TrainSpec
    spec = kind(
        **compute(study, setting, int(seed)),
        recipe=training.recipe(stop),
        stop=stop,
        processes=training.processes,
        takes_over=takes_over(study, setting, before[-1][0] if before else setting),
        transferred=tuple(transfer.layers) if transfer and not before else (),
    )
    inputs = {**examples_and_model(study, setting, int(seed)), **forgotten(setting, int(seed), train_set)}
    if before:
        inputs["state"] = state_at(before, where)
    elif transfer:
        inputs["donor"] = state_at(study.way(transfer.setting, transfer.step), where)
    patterns = {"state": paths.STATE, "snapshots": paths.SNAPSHOTS, "curve": paths.CURVE}
    outputs = {name: pattern.format(**where, segment=segment) for name, pattern in patterns.items()}
    return {"": Item(spec, inputs, outputs)}


def together(study: Study, grid: str, seed: str) -> dict[str, Item]:
    """All runs of a seed of a grid, each segment an item, with the items of their data before them: a job's items are done in the
    order of their names, and what several jobs have alike one of them computes."""
    folder = paths.TOGETHER.format(grid=grid, seed=seed)
    items: dict[str, Item] = {}
    for setting in study.together[grid]:
        if int(seed) not in study.seeds_of(setting):
            continue
        data = study.settings[setting].data
        items[f"1 data/{data}"] = prepare(study, data)[""]
        items[f"2 split/{data}"] = split(study, data, seed)[""]
        for segment in study.segments(setting):
            # All of a segment that may take their steps together differ behind the last slash alone.
            name = f"{segment}/{setting}" if study.settings[setting].together == "stacked" else f"{setting}/{segment}"
            items[f"3 train/{name}"] = train(study, setting, seed, "full", segment)[""]
    written = {file for item in items.values() for file in item.outputs.values()}

    def placed(files: str | Sequence[str]) -> str | list[str]:
        if isinstance(files, str):
            return f"{folder}/{files}" if files in written else files
        return [str(placed(file)) for file in files]

    return {
        name: Item(
            item.spec,
            {what: placed(files) for what, files in item.inputs.items()},
            {what: str(placed(file)) for what, file in item.outputs.items()},
        )
        for name, item in items.items()
    }


def select(study: Study, setting: str, seed: str) -> dict[str, Item]:
    """The checkpoints of the runs on all train sets, an item each; those of a control may be matched with those of the
    setting that it is compared with."""
    settings, checkpoints = study.settings[setting], study.checkpoints_of(setting)
    items = {}
    for train_set in study.trained(setting, int(seed)):
        inputs: dict[str, str | list[str]] = {"examples": paths.EXAMPLES.format(data=settings.data)}
        for name, pattern in (("curves", paths.CURVE), ("snapshots", paths.SNAPSHOTS)):
            inputs[name] = segment_files(study, pattern, setting, int(seed), train_set)
        if settings.control and "matched" in checkpoints:
            inputs["reference"] = paths.CHECKPOINT_TABLE.format(
                setting=settings.control.of, seed=seed, train_set=train_set
            )
        spec = SelectSpec(
            selection=settings.selection,
            checkpoints=checkpoints,
            model=model_spec(settings) if "rescaled" in checkpoints else None,
            chance=chance_of(study, setting),
        )
        where = {"setting": setting, "seed": seed, "train_set": train_set}
        outputs = {"table": paths.CHECKPOINT_TABLE, "weights": paths.CHECKPOINT_WEIGHTS}
        items[train_set] = Item(spec, inputs, {name: pattern.format(**where) for name, pattern in outputs.items()})
    return items
