"""What a study is: one YAML file, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from grokforget.analysis.registry import Analysis, AnalysisSettings
from grokforget.config.base import Component, Strict, explain, no_repeats, problem
from grokforget.config.setting import CheckpointName, Checkpoints, Name, Seeds, Setting, SomeNames
from grokforget.data.registry import DataSettings
from grokforget.forget_sets.registry import ForgetSetSettings
from grokforget.measures.registry import MeasureSettings
from grokforget.unlearning.registry import REFERENCES, MethodSettings

POOLED = "all"
"""What stands in place of a setting where a claim is tested on all of them together."""


class SnapshotSweep(Strict):
    """One method applied to snapshots along training (figure 1b)."""

    method: str = "gradient-ascent"
    """Name of one of the study's methods."""
    snapshots: int = Field(default=15, ge=2, le=1000)
    """About how many snapshots, spread evenly over log steps."""
    forget_sets: SomeNames | None = None
    """For which of a setting's forget sets; null is all of them. Controls are not swept."""


class Candidates(Strict):
    """Values to try of one hyper-parameter of a method."""

    parameter: str = "learning_rate"
    values: Annotated[list[int | float], Field(min_length=1), AfterValidator(no_repeats)]


class TuningSettings(Strict):
    """How the hyper-parameters of the methods are chosen: on a seed that no table reports, by one rule for every
    checkpoint. With ``candidates``, all of them are tried on the reported seeds too, and ``tuned.parquet`` compares the
    checkpoints each at its own choice."""

    seed: int = Field(default=1000, ge=0, lt=2**31)
    """Training seed of the tuning runs; not one of the study's seeds."""
    forget_sets: SomeNames | None = None
    """On which of a setting's forget sets the candidates are tried; null is all of them. Controls are not tuned."""
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
    checkpoints: Checkpoints = Field(default=["early", "memorised", "grokked"])
    """Snapshots from which unlearning starts."""
    methods: dict[Name, MethodSettings] = Field(min_length=1)
    """Methods by name; the names are those of the tables."""
    trajectory_stride: int = Field(default=1, ge=1)
    """Updates between two evaluations during unlearning."""
    measures: dict[Name, MeasureSettings] = Field(min_length=1)
    """Measures by name; their columns join those of ``unlearning.parquet``."""
    analyses: dict[Name, AnalysisSettings] = Field(default={})
    """Analyses of the models themselves by name; their rows make up ``analysis.parquet`` and ``along.parquet``."""
    likelihood_ratio_attack: bool = False
    """Whether to attack with the runs of the other seeds as shadow models (LiRA); needs two seeds or more."""
    sweep: SnapshotSweep = SnapshotSweep()
    tuning: TuningSettings = TuningSettings()
    device: Literal["cpu", "cuda"] = "cpu"
    """Where training and unlearning run."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a training or unlearning job. Part of a run's identity: it changes the last bits, and so the
    outcome."""

    @field_validator("data", "settings", "forget_sets", "methods", "measures", "analyses", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise problem("a list", value[:2], "a mapping from names to settings")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if POOLED in self.settings:
            raise problem(
                "a name that stands for all settings together in claims",
                POOLED,
                "another name",
                at=["settings", POOLED],
            )
        for name, setting in self.settings.items():
            if setting.data not in self.data:
                raise problem("no such data set", setting.data, sorted(self.data), at=["settings", name, "data"])
            self._check_control(name)
            self._check_methods(name)
        self._check_components()
        self._check_forget_sets()
        self._check_references()
        self._check_measures()
        self._check_tuning()
        for name in self.settings if self.likelihood_ratio_attack else []:
            if len(seeds := self.seeds_of(name)) < 2:
                at = ["settings", name, "seeds"] if self.settings[name].seeds else ["seeds"]
                raise problem("an attack without shadow models", seeds, "two seeds or more", at=at)
        return self

    def _check_control(self, name: str) -> None:
        """Controls are compared with a setting that is none, at checkpoints that both can have."""
        setting, at = self.settings[name], ["settings", name]
        checkpoints = self.checkpoints_of(name)
        if setting.control:
            if len(checkpoints) != 1:
                raise problem(
                    "a control with several checkpoints",
                    checkpoints,
                    "one of them, which stands for it",
                    at=[*at, "checkpoints"],
                )
            allowed = [other for other, base in self.settings.items() if base.control is None]
            if setting.control.of not in allowed:
                raise problem(
                    "a control of what is no such setting", setting.control.of, allowed, at=[*at, "control", "of"]
                )
            if setting.data != (data := self.settings[setting.control.of].data):
                raise problem("a control on other data than its setting", setting.data, data, at=[*at, "data"])
            self._check_control_name(name)
        if "matched" in checkpoints:
            if not setting.control:
                raise problem(
                    "the checkpoint matched in a setting that is no control",
                    None,
                    "{of: SETTING, name: NAME}",
                    at=[*at, "control"],
                )
            base = setting.control.of
            if "grokked" not in self.checkpoints_of(base):
                raise problem(
                    f"the checkpoint matched, without grokked in {base!r}",
                    checkpoints,
                    "grokked there",
                    at=[*at, "checkpoints"],
                )
            missing = sorted(set(self.seeds_of(name)) - set(self.seeds_of(base)))
            absent = sorted(set(self.forget_sets_of(name)) - set(self.forget_sets_of(base)))
            for what, gap in (("seeds", missing), ("forget_sets", absent)):
                if gap:
                    raise problem(f"{what} that {base!r} does not have", gap, "those that it has", at=[*at, what])
        if "rescaled" in checkpoints:
            if not setting.model.homogeneous:
                raise problem(
                    "the checkpoint rescaled with a model that no factor leaves as it is",
                    setting.model.kind,
                    "a model that is homogeneous in its weights (mlp, cnn), or other checkpoints",
                    at=[*at, "checkpoints"],
                )
            if not {"memorised", "grokked"} <= set(checkpoints):
                raise problem(
                    "the checkpoint rescaled alone",
                    checkpoints,
                    "memorised and grokked beside it",
                    at=[*at, "checkpoints"],
                )

    def _check_control_name(self, name: str) -> None:
        """In tables and claims a control stands as a further checkpoint of the setting that it is compared with."""
        control = self.settings[name].control
        assert control
        of_same = {other: one.control for other, one in self.settings.items() if one.control and other != name}
        taken = {one.name for one in of_same.values() if one.of == control.of} | {*get_args(CheckpointName)}
        if control.name in taken:
            raise problem(
                f"a name that stands for something else in {control.of!r}",
                control.name,
                "a name that is no checkpoint's and no other control's of that setting",
                at=["settings", name, "control", "name"],
            )

    def _check_forget_sets(self) -> None:
        chosen: list[tuple[list[str], SomeNames | None]] = [
            *((["settings", name, "forget_sets"], setting.forget_sets) for name, setting in self.settings.items()),
            *((["analyses", name, "forget_sets"], analysis.forget_sets) for name, analysis in self.analyses.items()),
            (["sweep", "forget_sets"], self.sweep.forget_sets),
            (["tuning", "forget_sets"], self.tuning.forget_sets),
        ]
        for at, names in chosen:
            for position, name in enumerate(names or []):
                if name not in self.forget_sets:
                    raise problem("no such forget set", name, sorted(self.forget_sets), at=[*at, str(position)])
        there = sorted({one for name in self.main_settings for one in self.forget_sets_of(name)})
        for key, names in (("sweep", self.sweep.forget_sets), ("tuning", self.tuning.forget_sets)):
            if names is not None and not set(names) & set(there):
                raise problem("forget sets that no setting has", names, there, at=[key, "forget_sets"])

    def _check_references(self) -> None:
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

    def _check_measures(self) -> None:
        for key, components in (("measures", self.measures), ("analyses", self.analyses)):
            kinds = [component.kind for component in components.values()]
            for position, (name, kind) in enumerate(zip(components, kinds, strict=True)):
                if kind in kinds[:position]:
                    raise problem(f"a kind given twice in {key}", kind, "each kind once", at=[key, name])
        if "accuracy" not in (kinds := [measure.kind for measure in self.measures.values()]):
            raise problem(
                "no measure of accuracy", kinds, "one of kind accuracy, which tables and figures show", at=["measures"]
            )

    def _check_tuning(self) -> None:
        if any(self.tuning.seed in self.seeds_of(name) for name in self.settings):
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
            for forget_set, rule in self.forget_sets.items():
                reason = rule.conflict_with(self.data[setting.data])
                if reason:
                    raise problem(
                        "a forget set that does not fit", reason[0], reason[1], at=["forget_sets", forget_set]
                    )

    def method(self, setting: str, name: str) -> Component:
        """The method's settings in one setting; a control's are those of the setting that it is compared with."""
        method: Component = self.methods[name]
        control = self.settings[setting].control
        inherited = self.settings[control.of].methods.get(name, {}) if control else {}
        return method.updated({**inherited, **self.settings[setting].methods.get(name, {})})

    def name_of(self, kind: str) -> str:
        """The name of the method of a kind that a study has once: ``original`` or ``retrain``."""
        return next(name for name, method in self.methods.items() if method.kind == kind)

    @property
    def main_settings(self) -> list[str]:
        """The settings that are no controls."""
        return [name for name, setting in self.settings.items() if setting.control is None]

    def seeds_of(self, setting: str) -> list[int]:
        """The reported seeds of a setting."""
        return self.settings[setting].seeds or self.seeds

    def forget_sets_of(self, setting: str) -> list[str]:
        """The forget sets of a setting, in the study's order."""
        chosen = self.settings[setting].forget_sets
        return [name for name in self.forget_sets if chosen is None or name in chosen]

    def checkpoints_of(self, setting: str) -> list[str]:
        """The checkpoints of a setting."""
        return [*(self.settings[setting].checkpoints or self.checkpoints)]

    def train_sets_of(self, setting: str) -> list[str]:
        """``full`` and, for each of a setting's forget sets, ``without-<name>``."""
        return ["full", *(f"without-{name}" for name in self.forget_sets_of(setting))]

    def swept(self, setting: str) -> list[str]:
        """The forget sets for which a setting is looked at along training; none for a control."""
        return self._some_of(setting, self.sweep.forget_sets)

    def tuned(self, setting: str) -> list[str]:
        """The forget sets on which candidates are tried; none for a control."""
        return self._some_of(setting, self.tuning.forget_sets)

    def analysed(self, setting: str, name: str) -> list[str]:
        """The forget sets for which an analysis is done; none where it does not fit the data."""
        analysis: Analysis = self.analyses[name]
        if analysis.needs not in (None, self.data[self.settings[setting].data].inputs):
            return []
        chosen = analysis.forget_sets
        return [one for one in self.forget_sets_of(setting) if chosen is None or one in chosen]

    def runs(self) -> Iterator[tuple[str, int]]:
        """Every reported (setting, seed)."""
        for setting in self.settings:
            for seed in self.seeds_of(setting):
                yield setting, seed

    def requests(self) -> Iterator[tuple[str, int, str]]:
        """Every reported (setting, seed, forget set)."""
        for setting, seed in self.runs():
            for forget_set in self.forget_sets_of(setting):
                yield setting, seed, forget_set

    def _some_of(self, setting: str, chosen: list[str] | None) -> list[str]:
        if self.settings[setting].control:
            return []
        return [name for name in self.forget_sets_of(setting) if chosen is None or name in chosen]


def _nested(error: ValidationError, at: list[str], own_key: bool = True) -> PydanticCustomError:
    """The first problem of a nested model as one of this model, at its full key."""
    detail = error.errors(include_url=False)[0]
    inner = [*map(str, detail["loc"]), *detail.get("ctx", {}).get("at", [])] if own_key else []
    return PydanticCustomError("nested", "{explained}", {"explained": explain(detail), "at": [*at, *inner]})
