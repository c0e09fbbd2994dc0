"""Every job of a study: what it depends on, without Snakemake.

The rules ask the plan for the task of a job; ``records.py`` compares the tasks with those that results were made by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grokforget import paths
from grokforget.plan_runs import RunPlan
from grokforget.recipes import Task, recipe, task

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


class Plan(RunPlan):
    """The tasks of a study's jobs, and what the jobs are."""

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

    def choose(self) -> Task:
        """The choice among all candidates."""
        settings, methods = list(self.study.settings), list(self.study.tuning.candidates)
        tuned = [self._recipe("tune", setting, method) for setting in settings for method in methods]
        spec = {"settings": settings, "methods": methods}
        return self._once(("choose",), lambda: task("choose", spec, {"tuned": recipe(tuned)}))

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

    def _tables(self, names: list[str]) -> dict[str, Any]:
        return {
            name: self._recipe("summarise") if name in SUMMARIES else self._recipe("collect", name) for name in names
        }


def _planned(made: Task, pattern: str, **where: Any) -> PlannedJob:
    key = pattern.format(**where)
    return PlannedJob(key, made, (key,))
