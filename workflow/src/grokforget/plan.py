"""Every job of a study: what it depends on, without Snakemake.

The rules ask the plan for the task of a job; ``records.py`` compares the tasks with those that results were made by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grokforget import paths
from grokforget.config.study import Study
from grokforget.recipes import Task, recipe, task, unit
from grokforget.unlearning.registry import REFERENCES

FIGURES = {
    "figure1a": ["training", "checkpoints"],
    "figure1b": ["sweep", "checkpoints"],
    "figure2": ["trajectories", "unlearning"],
}
"""Figure → the tables that it reads."""
DRAWN = {
    "figure1a": ["settings", "checkpoints"],
    "figure1b": ["settings", "forget_sets", "sweep_method"],
    "figure2": ["settings", "forget_sets", "checkpoints", "methods", "retrain"],
}
"""Figure → what else of the study it shows."""
SUMMARIES = ["summary", "contrasts"]


@dataclass(frozen=True)
class PlannedJob:
    """A job's key, its task, and what the paths of its results begin with."""

    key: str
    task: Task
    products: tuple[str, ...]


class Plan:
    """The tasks of a study's jobs. Each is computed once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.root = f"results/{study.study}"
        self._tasks: dict[tuple[Any, ...], Task] = {}
        self._recipes: dict[tuple[Any, ...], str] = {}

    # -- names -------------------------------------------------------------------------------------------------------

    def segments(self, setting: str) -> list[str]:
        """Names of a setting's training segments."""
        training = self.study.settings[setting].training
        return paths.segment_numbers(training.steps, training.segment_steps)

    def train_sets(self, seed: int) -> list[str]:
        """What is trained on with a seed: the tuning seed needs no retrained references."""
        return self.study.train_sets() if seed in self.study.seeds else ["full"]

    def requests(self) -> Iterator[tuple[str, int, str]]:
        """Every (setting, seed, forget set)."""
        for setting in self.study.settings:
            for seed in self.study.seeds:
                for forget_set in self.study.forget_sets:
                    yield setting, seed, forget_set

    # -- tasks -------------------------------------------------------------------------------------------------------

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
        return self._once(
            ("forget", setting, seed),
            lambda: task(
                "forget",
                {"seed": seed},
                self._examples(setting, seed),
                {
                    name: ({"forget_set": rule.spec(), "name": name}, {})
                    for name, rule in self.study.forget_sets.items()
                },
            ),
        )

    def train(self, setting: str, seed: int, train_set: str, segment: str) -> Task:
        """One segment; it depends on the recipe and on where it ends, not on how long the run is to be."""

        def make() -> Task:
            training = self.study.settings[setting].training
            settings = training.model_dump(mode="json", exclude={"steps", "segment_steps"})
            upstream = self._examples(setting, seed)
            if train_set != "full":
                upstream["forget"] = self._recipe("forget", setting, seed, name=train_set.removeprefix("without-"))
            if int(segment) > 1:
                # In order, so that a long run's last segment does not call itself back to the first.
                for number in range(1, int(segment) - 1):
                    self._recipe("train", setting, seed, train_set, paths.segment_name(number))
                before = paths.segment_name(int(segment) - 1)
                upstream["state"] = self._recipe("train", setting, seed, train_set, before)
            stop = int(segment) * training.segment_steps
            return task("train", {**self._compute(setting, seed), "training": settings, "stop": stop}, upstream)

        return self._once(("train", setting, seed, train_set, segment), make)

    def select(self, setting: str, seed: int) -> Task:
        """The checkpoints of the runs on all train sets, a unit each."""
        selection = self.study.settings[setting].selection.model_dump(mode="json")
        return self._once(
            ("select", setting, seed),
            lambda: task(
                "select",
                {"selection": selection, "checkpoints": self.study.checkpoints},
                {"examples": self._examples(setting, seed)["examples"]},
                {train_set: ({}, self._run(setting, seed, train_set)) for train_set in self.train_sets(seed)},
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
                    "checkpoints": self.study.checkpoints,
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
                    for name in self.study.forget_sets
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
                    "checkpoints": study.checkpoints,
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
                    for forget_set in study.forget_sets
                },
            ),
        )

    def collect(self, table: str) -> Task:
        """One tidy table of the whole study."""
        labels, parts = self._collections[table]
        spec = {"settings": list(self.study.settings), "seeds": self.study.seeds, **labels}
        return self._once(("collect", table), lambda: task(f"collect-{table}", spec, {"parts": recipe(parts())}))

    def summarise(self) -> Task:
        """Means and paired differences."""
        return self._once(("summarise",), lambda: task("summarise", {}, self._tables(["unlearning"])))

    def table1(self) -> Task:
        """Table 1 of the paper."""
        spec = {"methods": list(self.study.methods), "checkpoints": self.study.checkpoints}
        return self._once(("table1",), lambda: task("table1", spec, self._tables(["summary"])))

    def figure(self, figure: str) -> Task:
        """A figure of the paper."""
        study = self.study
        spec = {
            "settings": list(study.settings),
            "forget_sets": list(study.forget_sets),
            "checkpoints": study.checkpoints,
            "methods": list(study.methods),
            "sweep_method": study.sweep.method,
            "retrain": study.name_of("retrain"),
        }
        shown = {key: spec[key] for key in DRAWN[figure]}
        return self._once(("figure", figure), lambda: task(figure, shown, self._tables(FIGURES[figure])))

    def provenance(self) -> Task:
        """Who made what."""
        spec = {"study": self.study.model_dump(mode="json")}
        upstream = {**self._tables([*self.tables, "summary"]), "table1": self._recipe("table1")}
        upstream |= {name: self._recipe("figure", name) for name in FIGURES}
        return self._once(("provenance",), lambda: task("provenance", spec, upstream))

    def tune(self, setting: str, method: str) -> Task:
        """One method's candidates on all forget sets and checkpoints, with the tuning seed."""
        seed, candidates = self.study.tuning.seed, self.study.tuning.candidates[method]
        return self._once(
            ("tune", setting, method),
            lambda: task(
                "tune",
                {
                    **self._compute(setting, seed),
                    "method": self.study.method(setting, method).spec(),
                    "parameter": candidates.parameter,
                    "candidates": candidates.values,
                    "forget_sets": list(self.study.forget_sets),
                    "checkpoints": self.study.checkpoints,
                },
                {
                    **self._examples(setting, seed),
                    "forget": [self._recipe("forget", setting, seed, name=name) for name in self.study.forget_sets],
                    "checkpoints": self._recipe("select", setting, seed, name="full"),
                },
            ),
        )

    def choose(self) -> Task:
        """The choice among all candidates."""
        settings, methods = list(self.study.settings), list(self.study.tuning.candidates)
        tuned = [self._recipe("tune", setting, method) for setting in settings for method in methods]
        spec = {"settings": settings, "methods": methods}
        return self._once(("choose",), lambda: task("choose", spec, {"tuned": recipe(tuned)}))

    # -- all of them -------------------------------------------------------------------------------------------------

    def jobs(self) -> Iterator[PlannedJob]:
        """Every job that makes what ``rule all`` asks for."""
        study = self.study
        for data in study.data:
            yield _planned(self.prepare(data), paths.DATA, data=data)
        yield from self._runs(study.seeds)
        for setting, seed, forget_set in self.requests():
            where = {"setting": setting, "seed": seed, "forget_set": forget_set}
            yield _planned(self.unlearn(setting, seed, forget_set), paths.REQUEST, **where)
        for setting in study.settings:
            for seed in study.seeds:
                yield _planned(self.sweep(setting, seed), paths.SWEEPS, setting=setting, seed=seed)
                yield _planned(self.measure(setting, seed), paths.MEASUREMENT, setting=setting, seed=seed)
        for table in self.tables:
            yield _planned(self.collect(table), paths.COLLECTION, table=table)
        key = paths.COLLECTION.format(table="summary")
        yield PlannedJob(key, self.summarise(), tuple(paths.COLLECTION.format(table=name) for name in SUMMARIES))
        yield _planned(self.table1(), paths.PAPER, table="table1")
        for figure in FIGURES:
            yield _planned(self.figure(figure), paths.FIGURE, figure=figure)
        yield _planned(self.provenance(), paths.PROVENANCE)

    def tuning_jobs(self) -> Iterator[PlannedJob]:
        """Every further job that `snakemake tuning` asks for."""
        if not self.study.tuning.candidates:
            return
        yield from self._runs([self.study.tuning.seed])
        for setting in self.study.settings:
            for method in self.study.tuning.candidates:
                yield _planned(self.tune(setting, method), paths.TUNING_JOB, setting=setting, method=method)
        yield PlannedJob(paths.CHOICE, self.choose(), (paths.CHOICE, "tuning/candidates"))

    @property
    def tables(self) -> list[str]:
        """The tables that are collected from the jobs' files."""
        return list(self._collections)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _runs(self, seeds: list[int]) -> Iterator[PlannedJob]:
        for data in {setting.data: None for setting in self.study.settings.values()}:
            for seed in seeds:
                yield _planned(self.split(data, seed), paths.SPLIT_JOB, data=data, seed=seed)
        for setting in self.study.settings:
            for seed in seeds:
                where: dict[str, Any] = {"setting": setting, "seed": seed}
                yield _planned(self.forget(setting, seed), paths.FORGETTING, **where)
                for train_set in self.train_sets(seed):
                    for segment in self.segments(setting):
                        run = {**where, "train_set": train_set, "segment": segment}
                        yield _planned(self.train(**run), paths.SEGMENT, **run)
                yield _planned(self.select(setting, seed), paths.SELECTION, **where)

    @cached_property
    def _collections(self) -> dict[str, tuple[dict[str, Any], Callable[[], list[str]]]]:
        """Table → what the labels of its rows depend on, and the recipes of what it is collected from."""
        study = self.study
        runs = [(setting, seed) for setting in study.settings for seed in study.seeds]
        train_sets = {"train_sets": study.train_sets()}
        forget_sets = {"forget_sets": list(study.forget_sets)}
        methods = {**forget_sets, "methods": list(study.methods)}

        def curves() -> list[str]:
            return [
                last
                for setting, seed in runs
                for train_set in study.train_sets()
                for last in self._run(setting, seed, train_set)["segments"]
            ]

        def unlearned() -> list[str]:
            return [self._recipe("unlearn", *where, name=name) for where in self.requests() for name in study.methods]

        def of(stage: str, names: list[str]) -> Callable[[], list[str]]:
            return lambda: [self._recipe(stage, *run, name=name) for run in runs for name in names]

        return {
            "training": ({**train_sets, "segments": {name: self.segments(name) for name in study.settings}}, curves),
            "checkpoints": (train_sets, of("select", study.train_sets())),
            "unlearning": (forget_sets, of("measure", list(study.forget_sets))),
            "trajectories": (methods, unlearned),
            "sweep": (forget_sets, of("sweep", list(study.forget_sets))),
            "analysis": ({**methods, "original": study.name_of("original")}, unlearned),
        }

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

    def _run(self, setting: str, seed: int, train_set: str) -> dict[str, Any]:
        return {"segments": [self._recipe("train", setting, seed, train_set, name) for name in self.segments(setting)]}

    def _tables(self, names: list[str]) -> dict[str, Any]:
        return {
            name: self._recipe("summarise") if name in SUMMARIES else self._recipe("collect", name) for name in names
        }

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


def _planned(made: Task, pattern: str, **where: Any) -> PlannedJob:
    key = pattern.format(**where)
    return PlannedJob(key, made, (key,))
