"""What a study is: one YAML file, checked as a whole before any work."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from grokforget.config.base import Component, Strict, explain, problem
from grokforget.config.training import SelectionSettings, TrainingSettings
from grokforget.data.registry import DataSettings
from grokforget.forget_sets.registry import ForgetSetSettings
from grokforget.measures.registry import MeasureSettings
from grokforget.models.registry import ModelSettings
from grokforget.unlearning.registry import REFERENCES, MethodSettings

CheckpointName = Literal["early", "memorised", "grokked"]


def _no_repeats(values: list[Any]) -> list[Any]:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise problem("given twice", value, "each value once", at=[str(position)])
    return values


Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(_no_repeats)]
# Names become folder names, and "without-NAME" names a train set.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


class Resources(Strict):
    """What a scheduler is asked for; it changes no result. A job that fails is tried again with as much more."""

    memory_mb: int = Field(default=1500, ge=100)
    """Of each job that runs the setting's model; `logs/` say what such jobs have taken."""
    minutes: int = Field(default=60, ge=1)
    """Of a training segment; unlearning by all methods on one forget set, and the sweep, get twice as much."""


class Setting(Strict):
    """Data set × model × training recipe: what is trained, once a seed."""

    data: str
    """Name of one of the study's data sets."""
    model: ModelSettings
    initialisation_scale: float = Field(default=1.0, gt=0, le=1000)
    """α: factor on all initial weights and biases; large values delay generalisation (Omnigrok, arXiv 2210.01117)."""
    training: TrainingSettings
    selection: SelectionSettings
    resources: Resources = Resources()
    methods: dict[str, dict[str, Any]] = Field(default={})
    """Changes to the study's methods in this setting, by method name: the same for all checkpoints."""


class SnapshotSweep(Strict):
    """One method applied to snapshots along training (figure 1b)."""

    method: str = "gradient-ascent"
    """Name of one of the study's methods."""
    snapshots: int = Field(default=15, ge=2, le=1000)
    """About how many snapshots, spread evenly over log steps."""


class Candidates(Strict):
    """Values to try of one hyper-parameter of a method."""

    parameter: str = "learning_rate"
    values: Annotated[list[int | float], Field(min_length=1), AfterValidator(_no_repeats)]


class TuningSettings(Strict):
    """How the hyper-parameters of the methods are chosen: on a seed that no table reports, by one rule for every
    checkpoint."""

    seed: int = Field(default=1000, ge=0, lt=2**31)
    """Training seed of the tuning runs; not one of the study's seeds."""
    candidates: dict[str, Candidates] = Field(default={})
    """Method → what to try. The choice is copied into the settings' ``methods``."""


class Study(Strict):
    """A study: settings × seeds × forget sets × checkpoints × methods, and one folder of results."""

    study: Name
    """Name of the study and of its folder under ``results/``."""
    seeds: Seeds
    """Training seeds; initialisation, data order, split and forget-set draw all derive from them."""
    data: dict[Name, DataSettings] = Field(min_length=1)
    """Data sets by name."""
    settings: dict[Name, Setting] = Field(min_length=1)
    """Settings by name."""
    forget_sets: dict[Name, ForgetSetSettings] = Field(min_length=1)
    """Forget sets by name."""
    checkpoints: Annotated[list[CheckpointName], Field(min_length=1), AfterValidator(_no_repeats)] = Field(
        default=["early", "memorised", "grokked"]
    )
    """Snapshots from which unlearning starts."""
    methods: dict[Name, MethodSettings] = Field(min_length=1)
    """Methods by name; the names are those of the tables."""
    trajectory_stride: int = Field(default=1, ge=1)
    """Updates between two evaluations during unlearning."""
    measures: dict[Name, MeasureSettings] = Field(min_length=1)
    """Measures by name; their columns join those of ``unlearning.parquet``."""
    sweep: SnapshotSweep = SnapshotSweep()
    tuning: TuningSettings = TuningSettings()
    device: Literal["cpu", "cuda"] = "cpu"
    """Where training and unlearning run."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a training or unlearning job. Part of a run's identity: it changes the last bits, and so the
    outcome."""

    @field_validator("data", "settings", "forget_sets", "methods", "measures", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise problem("a list", value[:2], "a mapping from names to settings")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, setting in self.settings.items():
            at = ["settings", name]
            if setting.data not in self.data:
                raise problem("no such data set", setting.data, sorted(self.data), at=[*at, "data"])
            self._check_methods(name)
        self._check_components()
        if self.sweep.method not in self.methods:
            raise problem("no such method", self.sweep.method, sorted(self.methods), at=["sweep", "method"])
        if self.methods[self.sweep.method].kind in REFERENCES:
            allowed = [name for name, method in self.methods.items() if method.kind not in REFERENCES]
            raise problem("not an unlearning method", self.sweep.method, allowed, at=["sweep", "method"])
        for kind in REFERENCES:
            names = [name for name, method in self.methods.items() if method.kind == kind]
            if len(names) != 1:
                raise problem(
                    f"not one reference of kind {kind!r}", names, f"one method of kind {kind}", at=["methods"]
                )
        kinds = [measure.kind for measure in self.measures.values()]
        if "accuracy" not in kinds:
            raise problem(
                "no measure of accuracy", kinds, "one of kind accuracy, which tables and figures show", at=["measures"]
            )
        for position, (name, kind) in enumerate(zip(self.measures, kinds, strict=True)):
            if kind in kinds[:position]:
                raise problem("a kind of measure given twice", kind, "each kind once", at=["measures", name])
        if self.tuning.seed in self.seeds:
            raise problem("a reported seed", self.tuning.seed, "a seed that is not in `seeds`", at=["tuning", "seed"])
        for name, candidates in self.tuning.candidates.items():
            at = ["tuning", "candidates", name]
            if name not in self.methods:
                raise problem("no such method", name, sorted(self.methods), at=at)
            settings = sorted(set(type(self.methods[name]).model_fields) - {"kind"})
            if candidates.parameter not in settings:
                raise problem("no such setting", candidates.parameter, settings, at=[*at, "parameter"])
            for position, value in enumerate(candidates.values):
                try:
                    self.methods[name].updated({candidates.parameter: value})
                except ValidationError as error:
                    raise _nested(error, [*at, "values", str(position)], own_key=False) from error
        return self

    def _check_methods(self, setting: str) -> None:
        for method, changes in self.settings[setting].methods.items():
            at = ["settings", setting, "methods", method]
            if method not in self.methods:
                raise problem("no such method", method, sorted(self.methods), at=at)
            if "kind" in changes:
                raise problem(
                    "a change of kind", changes["kind"], "settings of the method; name another method", at=[*at, "kind"]
                )
            try:
                self.methods[method].updated(changes)
            except ValidationError as error:
                raise _nested(error, at) from error

    def _check_components(self) -> None:
        """What a component can say of its settings without heavy imports, it says here rather than in the middle of a
        run."""
        for name, data in self.data.items():
            reason = data.conflict()
            if reason:
                raise problem("settings that do not go together", reason[0], reason[1], at=["data", name])
        for name, setting in self.settings.items():
            reason = setting.model.conflict() or setting.model.conflict_with(self.data[setting.data])
            if reason:
                raise problem("a model that does not fit", reason[0], reason[1], at=["settings", name, "model"])

    def method(self, setting: str, name: str) -> Component:
        """The method's settings in one setting."""
        method: Component = self.methods[name]
        return method.updated(self.settings[setting].methods.get(name, {}))

    def name_of(self, kind: str) -> str:
        """The name of the method of a kind that a study has once: ``original`` or ``retrain``."""
        return next(name for name, method in self.methods.items() if method.kind == kind)

    def train_sets(self) -> list[str]:
        """``full`` and, for each forget set, ``without-<name>``."""
        return ["full", *(f"without-{name}" for name in self.forget_sets)]


def _nested(error: ValidationError, at: list[str], own_key: bool = True) -> PydanticCustomError:
    """The first problem of a nested model as one of this model, at its full key."""
    detail = error.errors(include_url=False)[0]
    inner = [*map(str, detail["loc"]), *detail.get("ctx", {}).get("at", [])] if own_key else []
    return PydanticCustomError("nested", "{explained}", {"explained": explain(detail), "at": [*at, *inner]})
