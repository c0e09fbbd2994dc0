"""The tasks of everything that belongs to one run or one request: from a data set to the measures of its cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from grokforget import paths
from grokforget.config.study import Study
from grokforget.recipes import Task, recipe, task, unit
from grokforget.unlearning.registry import REFERENCES


class RunPlan:
    """The tasks of a study's runs. Each is computed once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.root = f"results/{study.study}"
        self._tasks: dict[tuple[Any, ...], Task] = {}
        self._recipes: dict[tuple[Any, ...], str] = {}

    def segments(self, setting: str) -> list[str]:
        """Names of a setting's training segments."""
        training = self.study.settings[setting].training
        return paths.segment_numbers(training.steps, training.segment_steps)

    def train_sets(self, setting: str, seed: int) -> list[str]:
        """What is trained on with a seed: the tuning seed needs no retrained references."""
        return self.study.train_sets_of(setting) if seed in self.study.seeds_of(setting) else ["full"]

    def prepare(self, data: str) -> Task:
        """All examples of a data set."""
        return self._once(("prepare", data), lambda: task("prepare", {"data": self._data[data]}))

    def split(self, data: str, seed: int) -> Task:
        """Train, validation and test indices."""
        return self._once(
            ("split", data, seed),
            lambda: task(
                "split", {"data": self._data[data], "seed": seed}, {"examples": self._recipe("prepare", data)}
            ),
        )

    def forget(self, setting: str, seed: int) -> Task:
        """All forget sets of a run, a unit each."""

        def unit(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
            rule = self.study.forget_sets[name]
            spec = {"forget_set": rule.spec(), "name": name}
            if not rule.difficulty():
                return spec, {}
            return {**spec, "difficulty": True}, {"difficulty": self._recipe("difficulty", setting, seed, name=name)}

        return self._once(
            ("forget", setting, seed),
            lambda: task(
                "forget",
                {"seed": seed},
                self._examples(setting, seed),
                {name: unit(name) for name in self.study.forget_sets_of(setting)},
            ),
        )

    def scored(self, setting: str) -> list[str]:
        """The forget sets that are drawn by difficulty."""
        forget_sets = self.study.forget_sets
        return [name for name in self.study.forget_sets_of(setting) if forget_sets[name].difficulty()]

    def difficulty(self, setting: str, seed: int) -> Task:
        """The training examples' difficulty, a unit a forget set that is drawn by it."""
        return self._once(
            ("difficulty", setting, seed),
            lambda: task(
                "difficulty",
                self._compute(setting, seed),
                {**self._examples(setting, seed), **self._run(setting, seed, "full")},
                {name: (self.study.forget_sets[name].difficulty(), {}) for name in self.scored(setting)},
            ),
        )

    def train(self, setting: str, seed: int, train_set: str, segment: str) -> Task:
        """One segment; it depends on the recipe and on where it ends, not on how long the run is to be."""

        def make() -> Task:
            training = self.study.settings[setting].training
            upstream = self._examples(setting, seed)
            upstream |= self._forgotten(setting, seed, train_set)
            if int(segment) > 1:
                # In order, so that a long run's last segment does not call itself back to the first.
                for number in range(1, int(segment) - 1):
                    self._recipe("train", setting, seed, train_set, paths.segment_name(number))
                before = paths.segment_name(int(segment) - 1)
                upstream["state"] = self._recipe("train", setting, seed, train_set, before)
            stop = int(segment) * training.segment_steps
            return task("train", {**self._compute(setting, seed), "training": training.spec(), "stop": stop}, upstream)

        return self._once(("train", setting, seed, train_set, segment), make)

    def select(self, setting: str, seed: int) -> Task:
        """The checkpoints of the runs on all train sets, a unit each; those of a control may be matched with those of the
        setting that it is compared with."""
        settings = self.study.settings[setting]
        checkpoints = self.study.checkpoints_of(setting)

        def run(train_set: str) -> dict[str, Any]:
            upstream = self._run(setting, seed, train_set)
            if settings.control and "matched" in checkpoints:
                upstream["reference"] = self._recipe("select", settings.control.of, seed, name=train_set)
            return upstream

        spec = {"selection": settings.selection.model_dump(mode="json"), "checkpoints": checkpoints}
        if "rescaled" in checkpoints:
            spec["model"] = self._compute(setting, seed)["model"]
        return self._once(
            ("select", setting, seed),
            lambda: task(
                "select",
                spec,
                {"examples": self._examples(setting, seed)["examples"]},
                {train_set: ({}, run(train_set)) for train_set in self.train_sets(setting, seed)},
            ),
        )

    def unlearn(self, setting: str, seed: int, forget_set: str) -> Task:
        """All methods on one request, a unit each."""

        def method(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
            settings = self.study.method(setting, name)
            if settings.kind != "retrain":
                return {"method": settings.spec()}, {}
            retrained = self._recipe("select", setting, seed, name=f"without-{forget_set}")
            return {"method": settings.spec(), "retrained": True}, {"retrained": retrained}

        return self._once(
            ("unlearn", setting, seed, forget_set),
            lambda: task(
                "unlearn",
                {
                    **self._compute(setting, seed),
                    "checkpoints": self.study.checkpoints_of(setting),
                    "forget_set": forget_set,
                    "stride": self.study.trajectory_stride,
                },
                {
                    **self._examples(setting, seed),
                    "forget": self._recipe("forget", setting, seed, name=forget_set),
                    "checkpoints": self._recipe("select", setting, seed, name="full"),
                },
                {name: method(name) for name in self.study.methods},
            ),
        )

    def sweep(self, setting: str, seed: int) -> Task:
        """One method from snapshots along training, a unit a forget set."""
        sweep = self.study.sweep
        return self._once(
            ("sweep", setting, seed),
            lambda: task(
                "sweep",
                {
                    **self._compute(setting, seed),
                    "method": self.study.method(setting, sweep.method).spec(),
                    "snapshots": sweep.snapshots,
                },
                {**self._examples(setting, seed), **self._run(setting, seed, "full")},
                {
                    name: ({"forget_set": name}, {"forget": self._recipe("forget", setting, seed, name=name)})
                    for name in self.study.swept(setting)
                },
            ),
        )

    def measure(self, setting: str, seed: int) -> Task:
        """All measures of all cells, a unit a forget set."""
        study = self.study
        return self._once(
            ("measure", setting, seed),
            lambda: task(
                "measure",
                {
                    "methods": list(study.methods),
                    **{kind: study.name_of(kind) for kind in REFERENCES},
                    "checkpoints": study.checkpoints_of(setting),
                    "measures": {name: measure.spec() for name, measure in study.measures.items()},
                    "seed": seed,
                },
                {"examples": self._examples(setting, seed)["examples"]},
                {
                    forget_set: (
                        {},
                        {
                            "unlearned": {
                                name: self._recipe("unlearn", setting, seed, forget_set, name=name)
                                for name in study.methods
                            }
                        },
                    )
                    for forget_set in study.forget_sets_of(setting)
                },
            ),
        )

    @cached_property
    def _data(self) -> dict[str, Any]:
        return {name: data.spec() for name, data in self.study.data.items()}

    def _compute(self, setting: str, seed: int) -> dict[str, Any]:
        """What every job that runs a model depends on."""
        settings = self.study.settings[setting]
        return {
            "model": {**settings.model.spec(), "alpha": settings.initialisation_scale},
            "seed": seed,
            "threads": self.study.threads,
            "device": self.study.device,
        }

    def _examples(self, setting: str, seed: int) -> dict[str, Any]:
        data = self.study.settings[setting].data
        return {"examples": self._recipe("prepare", data), "split": self._recipe("split", data, seed)}

    def _forgotten(self, setting: str, seed: int, train_set: str) -> dict[str, Any]:
        if train_set == "full":
            return {}
        return {"forget": self._recipe("forget", setting, seed, name=train_set.removeprefix("without-"))}

    def _run(self, setting: str, seed: int, train_set: str) -> dict[str, Any]:
        return {"segments": [self._recipe("train", setting, seed, train_set, name) for name in self.segments(setting)]}

    def _recipe(self, stage: str, *where: Any, name: str | None = None) -> str:
        """The recipe of a job, or of one unit of it."""
        key = (stage, *where, name)
        if key not in self._recipes:
            made = getattr(self, stage)(*where)
            self._recipes[key] = recipe(made if name is None else unit(made, name))
        return self._recipes[key]

    def _once(self, key: tuple[Any, ...], make: Callable[[], Task]) -> Task:
        if key not in self._tasks:
            self._tasks[key] = make()
        return self._tasks[key]
