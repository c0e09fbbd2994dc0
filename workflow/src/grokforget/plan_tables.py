"""The tasks of a study's tidy tables: which files each is collected from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from grokforget import paths
from grokforget.plan_inspections import InspectionPlan
from grokforget.recipes import Task, recipe, task

SUMMARIES = ["summary", "contrasts"]
TUNED = "tuned"
TESTS = "claims"
"""The table of the claims' tests, which lies among the others."""
Collection = tuple[dict[str, Any], Callable[[], list[str]]]


class TablePlan(InspectionPlan):
    """The tasks of what is collected from all runs."""

    def collect(self, table: str) -> Task:
        """One tidy table of the whole study."""
        spec, parts = self._collections[table]
        return self._once(("collect", table), lambda: task(f"collect-{table}", spec, {"parts": recipe(parts())}))

    def tuned(self) -> Task:
        """The checkpoints at their own best hyper-parameters."""
        return self._once(("tuned",), lambda: task("tuned", {"seed": self.study.tuning.seed}, self._tables(["tuning"])))

    @property
    def tables(self) -> list[str]:
        """The tables of the study, all but those that summarise others."""
        return [*self.collected, *([TUNED] if "tuning" in self._collections else [])]

    @property
    def collected(self) -> list[str]:
        """The tables that are collected from the jobs' files."""
        return list(self._collections)

    @property
    def tuned_settings(self) -> list[str]:
        """The settings in which candidates are tried."""
        return [setting for setting in self.study.settings if self.tuning_seeds(setting)]

    def inspected(self, setting: str) -> list[list[str]]:
        """The (moment, forget set, analysis) of a setting, from the units of its jobs; without any it has no such jobs."""
        seed = self.study.seeds_of(setting)[0]
        return [name.split("/") for name in self.analyse(setting, seed)["units"]]

    @cached_property
    def _collections(self) -> dict[str, Collection]:
        """Table → which files it is collected from, and the recipes of what wrote them."""
        study = self.study
        methods = list(study.methods)
        scopes = {
            setting: {"seeds": study.seeds_of(setting), "forget_sets": study.forget_sets_of(setting)}
            for setting in study.settings
        }

        def with_train_sets(**more: Any) -> dict[str, Any]:
            return {
                setting: {
                    "seeds": study.seeds_of(setting),
                    "train_sets": study.train_sets_of(setting),
                    **{key: values[setting] for key, values in more.items()},
                }
                for setting in study.settings
            }

        def curves() -> list[str]:
            return [
                last
                for setting, seed in study.runs()
                for train_set in study.train_sets_of(setting)
                for last in self._run(setting, seed, train_set)["segments"]
            ]

        def unlearned() -> list[str]:
            return [self._recipe("unlearn", *where, name=name) for where in study.requests() for name in methods]

        def of(stage: str, names: Callable[[str], list[str]]) -> Callable[[], list[str]]:
            return lambda: [self._recipe(stage, *run, name=name) for run in study.runs() for name in names(run[0])]

        inspected = {name: self.inspected(name) for name in study.settings}

        def values(*moments: str) -> Callable[[], list[str]]:
            return of("analyse", lambda name: ["/".join(part) for part in inspected[name] if part[0] in moments])

        def scope_of(moment: str) -> dict[str, Any]:
            return {
                setting: {
                    "seeds": study.seeds_of(setting),
                    "parts": [[forget_set, name] for where, forget_set, name in parts if where == moment],
                }
                for setting, parts in inspected.items()
            }

        segments = {name: self.segments(name) for name in study.settings}
        swept = {
            name: {"seeds": study.seeds_of(name), "forget_sets": study.swept(name)} for name in study.main_settings
        }
        before = values(paths.BEFORE)
        tables: dict[str, Collection] = {
            "training": ({"settings": with_train_sets(segments=segments)}, curves),
            "checkpoints": ({"settings": with_train_sets()}, of("select", study.train_sets_of)),
            "unlearning": ({"settings": scopes}, of("measure", study.forget_sets_of)),
            "trajectories": ({"settings": scopes, "methods": methods}, unlearned),
            "sweep": ({"settings": swept}, of("sweep", study.swept)),
            "analysis": (
                {
                    "settings": scopes,
                    "methods": methods,
                    "original": study.name_of("original"),
                    "analyses": scope_of(paths.BEFORE),
                },
                lambda: [*unlearned(), *before()],
            ),
        }
        if any(part[0] == paths.ALONG for parts in inspected.values() for part in parts):
            tables["along"] = ({"analyses": scope_of(paths.ALONG)}, values(paths.ALONG))
        if study.likelihood_ratio_attack:
            tables["membership"] = (
                {"settings": {name: study.forget_sets_of(name) for name in study.settings}},
                lambda: [
                    self._recipe("attack", name, name=forget_set)
                    for name in study.settings
                    for forget_set in study.forget_sets_of(name)
                ],
            )
        if self.tuned_settings:
            tried = list(study.tuning.candidates)
            tables["tuning"] = (
                {"settings": {name: self.tuning_seeds(name) for name in self.tuned_settings}, "methods": tried},
                lambda: [
                    self._recipe("tune", name, seed, name=method)
                    for name in self.tuned_settings
                    for seed in self.tuning_seeds(name)
                    for method in tried
                ],
            )
        return tables

    def _tables(self, names: list[str]) -> dict[str, Any]:
        made = {**dict.fromkeys(SUMMARIES, "summarise"), TUNED: "tuned", TESTS: "claims"}
        return {name: self._recipe(made[name]) if name in made else self._recipe("collect", name) for name in names}
