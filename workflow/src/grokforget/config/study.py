"""What a study is: one YAML file, checked as a whole before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from grokforget.config.analyses import Analysis, AnalysisSettings
from grokforget.config.base import Strict, no_repeats, problem
from grokforget.config.checks import check
from grokforget.config.data import DataSettings
from grokforget.config.forget_sets import ForgetSetSettings
from grokforget.config.grids import expanded
from grokforget.config.method_settings.base import Method
from grokforget.config.methods import REFERENCES, MethodSettings
from grokforget.config.metrics import MetricSettings
from grokforget.config.setting import Checkpoints, Name, Seeds, Setting, SomeNames
from grokforget.runtime import paths


class AlongTraining(Strict):
    """What is looked at along training: one method applied to snapshots (figure 1b), and analyses of them."""

    method: str | None = None
    """Name of one of the study's methods; null is the first of them that unlearns."""
    snapshots: int | None = Field(default=15, ge=2, le=1000)
    """About how many snapshots, spread evenly over log steps; null is all of them. Analyses along training are of the same."""
    forget_sets: SomeNames | None = None
    """For which of a setting's forget sets; null is all of them. Controls are not looked at along training."""


class Candidates(Strict):
    """Values to try of one hyper-parameter of a method."""

    parameter: str = "learning_rate"
    """Name of the hyper-parameter."""
    values: Annotated[list[int | float], Field(min_length=1), AfterValidator(no_repeats)]
    """What to try, each from every checkpoint."""


class TuningSettings(Strict):
    """How the hyper-parameters of the methods are chosen: on a seed that no table reports, by one rule for every
    checkpoint. With ``candidates``, all of them are tried on the reported seeds too, and ``tuned.parquet`` compares the
    checkpoints each at its own choice."""

    seed: int = Field(default=1000, ge=0, lt=2**31)
    """Training seed of the tuning runs; not one of the study's seeds."""
    settings: SomeNames | None = None
    """In which settings; null is all of them but the controls, which are never tuned."""
    forget_sets: SomeNames | None = None
    """On which of a setting's forget sets the candidates are tried; null is all of them."""
    candidates: dict[str, Candidates] = Field(default={})
    """Method → what to try. The choice is copied into the settings' ``methods``."""
    updates: Literal["any", "all"] = "any"
    """``any``: the number of updates is chosen too; ``all``: every candidate is judged at its own end alone, so that the cells at
    the chosen value have whole trajectories, along which forgetting is matched without further runs."""


class Study(Strict):
    """A study: settings × seeds × forget sets × checkpoints × methods, and one folder of results."""

    model_config = ConfigDict(
        json_schema_extra={
            "patternProperties": {
                "^x-": {"description": "Holds what anchors (&name) name, and is otherwise passed over."}
            }
        }
    )

    study: Name
    """Name of the study and of its folder under ``results/``."""
    seeds: Seeds
    """Training seeds; initialisation, data order, split and forget-set draw all derive from them."""
    data: dict[Name, DataSettings] = Field(min_length=1)
    """Data sets by name."""
    settings: dict[Name, Setting] = Field(min_length=1)
    """Settings by name."""
    forget_sets: dict[Name, ForgetSetSettings] = Field(default={})
    """Forget sets by name. Without methods, none."""
    checkpoints: Checkpoints = Field(default=["early", "memorised", "grokked"])
    """Snapshots from which unlearning starts."""
    methods: dict[Name, MethodSettings] = Field(default={})
    """Methods by name; the names are those of the tables. Without any, settings are only trained and looked at."""
    keep_models: Literal["all", "analysed"] | list[str] = "all"
    """Which unlearned models stay: all, those of forget sets that an analysis after unlearning asks for, or, beside these,
    those of the methods that are listed. A large model is many times as large as everything else that is kept of it."""
    trajectory_stride: int | None = Field(default=None, ge=1)
    """Updates between two evaluations during unlearning; null evaluates where the forget accuracy changes, before and after:
    nothing that is read at a level of forgetting is lost, for a small part of the evaluations."""
    trajectory_examples: int | None = Field(default=None, ge=1)
    """How many examples of each of forget, retain and test set the rows of trajectories and of candidates are of at most, their
    results' rows too: drawn evenly, once a request. null is all of them. Metrics and analyses of the results are of all."""
    recalibration_examples: int = Field(default=2000, ge=2)
    """How many examples of the retain set at most, drawn once a request, the running statistics of batch norms are computed
    anew on before every evaluation. Nothing to models without batch norms."""
    metrics: dict[Name, MetricSettings] = Field(default={})
    """Metrics by name; their columns join those of ``unlearning.parquet``."""
    analyses: dict[Name, AnalysisSettings] = Field(default={})
    """Analyses of the models themselves by name; their rows make up ``analysis.parquet`` and ``along.parquet``."""
    likelihood_ratio_attack: bool = False
    """Whether to attack with the runs of the other seeds as shadow models (LiRA); needs two seeds or more."""
    along_training: AlongTraining = AlongTraining()
    tuning: TuningSettings = TuningSettings()
    device: Literal["cpu", "cuda"] = "cpu"
    """Where training and unlearning run."""
    jobs_per_gpu: int = Field(default=1, ge=1, le=64)
    """How many jobs share a GPU, whose memory must hold them all; small models leave most of one idle. It changes no result.
    Snakemake's ``--resources gpu=N`` counts places: the number of GPUs times this."""
    threads: int = Field(default=1, ge=1, le=256)
    """CPU threads of a training or unlearning job. Part of a run's identity: it changes the last bits, and so the
    outcome."""

    @model_validator(mode="before")
    @classmethod
    def _grids(cls, value: Any) -> Any:
        return expanded(value)[0]

    @field_validator("data", "settings", "forget_sets", "methods", "metrics", "analyses", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise problem("a list", value[:2], "a mapping from names to settings")
        return value

    @field_validator("keep_models", mode="before")
    @classmethod
    def _kept(cls, value: Any) -> Any:
        if value and isinstance(value, list) and all(isinstance(name, str) for name in value):
            return no_repeats(value)
        if value not in ("all", "analysed"):
            raise problem("not one of the choices", value, "all, analysed, or a list of methods")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check(self)
        return self

    def method(self, setting: str, name: str) -> Method:
        """The method's settings in one setting; a control's are those of the setting that it is compared with."""
        method: Method = self.methods[name]
        control = self.settings[setting].control
        inherited = self.settings[control.of].methods.get(name, {}) if control else {}
        return method.updated({**inherited, **self.settings[setting].methods.get(name, {})})

    def processes_of(self, setting: str) -> int:
        """How many processes train a run of the setting together."""
        return self.settings[setting].training.processes

    @property
    def most_gpus(self) -> int:
        """How many GPUs a job takes at most; 0 on a CPU."""
        return max(map(self.processes_of, self.settings)) if self.device == "cuda" else 0

    @property
    def along_method(self) -> str:
        """Name of the method that is applied to snapshots along training."""
        first = next((name for name, method in self.methods.items() if method.kind not in REFERENCES), "")
        return self.along_training.method or first

    def name_of(self, kind: str) -> str:
        """The name of the method of a kind that a study with methods has once: ``original`` or ``retrain``."""
        return next((name for name, method in self.methods.items() if method.kind == kind), "")

    def unlearns(self, setting: str) -> bool:
        """Whether something is unlearned from the runs of a setting."""
        return self.settings[setting].unlearn and bool(self.methods)

    @property
    def unlearned(self) -> list[str]:
        """The settings from whose runs something is unlearned."""
        return [name for name in self.settings if self.unlearns(name)]

    @property
    def main_settings(self) -> list[str]:
        """Those of them that are no controls."""
        return [name for name in self.unlearned if self.settings[name].control is None]

    @property
    def together(self) -> dict[str, list[str]]:
        """Grids, or single settings, whose runs of one seed are items of one job, with their settings."""
        return self._by(lambda name, setting: setting.together and (setting.grid or name))

    @property
    def grids(self) -> dict[str, list[str]]:
        """Grids, with their settings."""
        return self._by(lambda _, setting: setting.grid)

    def _by(self, key: Callable[[str, Setting], str | Literal[False] | None]) -> dict[str, list[str]]:
        """The names of the settings by a key; those without one are left out."""
        found: dict[str, list[str]] = {}
        for name, setting in self.settings.items():
            if group := key(name, setting):
                found.setdefault(group, []).append(name)
        return found

    def seeds_of(self, setting: str) -> list[int]:
        """The reported seeds of a setting."""
        return self.settings[setting].seeds or self.seeds

    def forget_sets_of(self, setting: str) -> list[str]:
        """The forget sets of a setting, in the study's order; none where nothing is unlearned."""
        if not self.unlearns(setting):
            return []
        chosen = self.settings[setting].forget_sets
        return [name for name in self.forget_sets if chosen is None or name in chosen]

    def checkpoints_of(self, setting: str) -> list[str]:
        """The checkpoints of a setting."""
        return [*(self.settings[setting].checkpoints or self.checkpoints)]

    def train_sets_of(self, setting: str) -> list[str]:
        """``full`` and, for each of a setting's forget sets, ``without-<name>``."""
        return ["full", *(f"without-{name}" for name in self.forget_sets_of(setting))]

    def forget_sets_along(self, setting: str) -> list[str]:
        """The forget sets for which a setting is looked at along training; none for a control."""
        return self._some_of(setting, self.along_training.forget_sets)

    def forget_sets_tuned(self, setting: str) -> list[str]:
        """The forget sets on which candidates are tried; none for a control, and for a setting that is not tuned."""
        tuned = self.tuning.settings is None or setting in self.tuning.settings
        return self._some_of(setting, self.tuning.forget_sets) if tuned else []

    def asks(self, setting: str, name: str) -> bool:
        """Whether an analysis is asked of a setting, by what it is about and by the settings that it names."""
        analysis: Analysis = self.analyses[name]
        named = analysis.settings is None or {setting, self.settings[setting].grid} & {*analysis.settings}
        return bool(named) and (analysis.subject != "request" or self.unlearns(setting))

    def is_analysed(self, setting: str, name: str) -> bool:
        """Whether it is asked, and fits the setting's data."""
        fits = self.analyses[name].needs in (None, self.data[self.settings[setting].data].inputs)
        return fits and self.asks(setting, name)

    def analysed(self, setting: str, name: str) -> list[str]:
        """The forget sets for which an analysis is done."""
        analysis: Analysis = self.analyses[name]
        if analysis.subject == "run" or not self.is_analysed(setting, name):
            return []
        chosen = analysis.forget_sets
        return [one for one in self.forget_sets_of(setting) if chosen is None or one in chosen]

    def analysed_run(self, setting: str, name: str) -> bool:
        """Whether an analysis along training is done of the setting's runs themselves, of which nothing is forgotten."""
        analysis: Analysis = self.analyses[name]
        fits = analysis.subject == "run" or (analysis.subject == "either" and not self.unlearns(setting))
        return fits and "along" in analysis.at and self.is_analysed(setting, name)

    def analysed_kinds(self) -> set[str]:
        """The kinds of analyses that are done in any setting."""
        return {
            analysis.kind
            for name, analysis in self.analyses.items()
            if any(self.analysed(setting, name) or self.analysed_run(setting, name) for setting in self.settings)
        }

    def keeps_models(self, setting: str, forget_set: str, method: str) -> bool:
        """Whether the models that a method makes on a forget set stay."""
        if self.keep_models == "all" or (isinstance(self.keep_models, list) and method in self.keep_models):
            return True
        asked = (name for name, analysis in self.analyses.items() if "after" in analysis.at)
        return any(forget_set in self.analysed(setting, name) for name in asked)

    def segments(self, setting: str) -> list[str]:
        """Names of the training segments that a setting has itself."""
        return [segment for owner, segment in self.way(setting) if owner == setting]

    def way(self, setting: str, stop: int | None = None) -> list[tuple[str, str]]:
        """The segments from the initialisation to the update ``stop``, or to the end, each with the setting whose it is."""
        training, start = self.settings[setting].training, self.settings[setting].starts_from
        first = start.step if start else 0
        own = paths.segment_numbers(training.steps if stop is None else stop, training.segment_steps, first)
        before = self.way(start.setting, first) if start else []
        return [*before, *((setting, segment) for segment in own)]

    def trained(self, setting: str, seed: int) -> list[str]:
        """What is trained on with a seed; the tuning seed needs retrained references of what is tuned alone."""
        if seed in self.seeds_of(setting):
            return self.train_sets_of(setting)
        return ["full", *(f"without-{name}" for name in self.forget_sets_tuned(setting))]

    def scored(self, setting: str) -> list[str]:
        """The forget sets that are drawn by difficulty."""
        return [name for name in self.forget_sets_of(setting) if self.forget_sets[name].difficulty()]

    def grouped(self, setting: str) -> list[str]:
        """The forget sets of a language model that are groups of examples by how their losses went."""
        if self.settings[setting].training.objective_name != "language":
            return []
        return [name for name in self.forget_sets_of(setting) if self.forget_sets[name].kind == "local-grokking"]

    def tuning_seeds(self, setting: str) -> list[int]:
        """The seeds with which candidates are tried: those that are reported, and the one that chooses."""
        tried = self.tuning.candidates and self.forget_sets_tuned(setting)
        return [*self.seeds_of(setting), self.tuning.seed] if tried else []

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
