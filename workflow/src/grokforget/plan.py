"""Every job of a study: what it depends on, without Snakemake.

The rules ask the plan for the task of a job; ``records.py`` compares the tasks with those that results were made by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from grokforget import paths
from grokforget.config.claims import claims
from grokforget.plan_tables import SUMMARIES, TESTS, TUNED, TablePlan
from grokforget.recipes import Task, recipe, task
from grokforget.unlearning.registry import REFERENCES

PAPER_TABLES: dict[str, list[str]] = {
    **{name: ["analysis"] for name in ("table3", "table4", "table5", "table9", "robustness")},
    **{name: ["unlearning"] for name in ("table8", "table10", "table11")},
    "membership": ["unlearning", "membership"],
}
"""Table of the paper → the tables that it reads, where the study has them."""
SHOWS = {
    "table3": "gradient-alignment",
    "table4": "local-complexity",
    "table5": "cka",
    "table9": "gradient-alignment",
    "robustness": "robustness",
}
"""Table of the paper → the kind of analysis that it shows."""
FIGURES = {
    "figure1a": ["training", "checkpoints"],
    "figure1b": ["sweep", "checkpoints"],
    "figure2": ["trajectories", "unlearning"],
    "alignment": ["along", "checkpoints"],
    "alignment-pairs": ["analysis"],
    "cka": ["analysis"],
    "complexity": ["along", "checkpoints"],
    "complexity-methods": ["analysis"],
    "modules": ["along", "analysis"],
    "ablation": ["analysis"],
    "pareto": ["tuning", "tuned"],
    "designs": ["unlearning"],
    "controls": ["unlearning"],
    "attacks": ["unlearning", "membership"],
    "robustness": ["analysis"],
    "relearning": ["analysis"],
    "claims": ["claims"],
}
"""Figure → the tables that it reads."""
DRAWN = {
    "figure1a": ["settings", "checkpoints"],
    "figure1b": ["settings", "swept", "sweep_method"],
    "figure2": ["settings", "forget_sets", "checkpoints", "methods", "retrain"],
    **{name: ["settings", "swept", "study"] for name in ("alignment", "complexity")},
    "modules": ["settings", "forget_sets", "checkpoints", "study"],
    **{
        name: ["settings", "forget_sets", "checkpoints", "methods", "study"]
        for name in ("alignment-pairs", "cka", "complexity-methods", "ablation", "attacks", "robustness", "relearning")
    },
    **{name: ["settings", "checkpoints", "methods", "study"] for name in ("pareto", "designs", "controls")},
    "claims": ["claims"],
}
"""Figure → what else of the study it shows."""
SHOWN = {
    **{"alignment": "gradient-alignment", "alignment-pairs": "gradient-alignment", "cka": "cka"},
    **{"complexity": "local-complexity", "complexity-methods": "local-complexity", "ablation": "ablation"},
    **{"modules": "module-model", "robustness": "robustness", "relearning": "relearning"},
}
"""Figure → the kind of analysis that it shows."""


@dataclass(frozen=True)
class PlannedJob:
    """A job's key, its task, and what the paths of its results begin with."""

    key: str
    task: Task
    products: tuple[str, ...]


class Plan(TablePlan):
    """The tasks of a study's jobs, and what the jobs are."""

    def summarise(self) -> Task:
        """Means and paired differences."""
        return self._once(("summarise",), lambda: task("summarise", {}, self._tables(["unlearning"])))

    def table1(self) -> Task:
        """Table 1 of the paper."""
        spec = {key: self._shown[key] for key in ("settings", "forget_sets", "methods", "checkpoints")}
        return self._once(("table1",), lambda: task("table1", spec, self._tables(["summary"])))

    def claims(self) -> Task:
        """The verdicts on the paper's claims."""
        spec = {"claims": claims(), "study": self._meanings}
        return self._once(("claims",), lambda: task("claims", spec, self._tables(self.decide_claims)))

    def published(self) -> Task:
        """The paper's numbers beside this study's."""
        spec = {
            "numbers": hashlib.sha256(paths.PAPER_NUMBERS.read_bytes()).hexdigest(),
            "study": self._meanings,
            "beside": {
                name: [one.model_dump() for one in setting.published]
                for name, setting in self.study.settings.items()
                if setting.published
            },
            "methods": {name: method.kind for name, method in self.study.methods.items()},
        }
        return self._once(("published",), lambda: task("published", spec, self._tables(["unlearning", "analysis"])))

    def paper_table(self, table: str) -> Task:
        """One of ``PAPER_TABLES``."""
        spec = {
            "table": table,
            "study": self._meanings,
            **{key: self._shown[key] for key in ("checkpoints", "methods")},
        }
        return self._once(("paper_table", table), lambda: task("paper-table", spec, self._tables(self.shown_in(table))))

    def figure(self, figure: str) -> Task:
        """A figure of the paper."""
        # Of the analyses what it shows, so that another one more or less is nothing to it.
        kinds = {SHOWN.get(figure), "distance" if figure == "relearning" else None}
        analyses = {name: kind for name, kind in self._meanings["analyses"].items() if kind in kinds}
        known = {**self._shown, "study": {**self._meanings, "analyses": analyses}, "claims": claims()}
        shown = {key: known[key] for key in DRAWN[figure]}
        return self._once(("figure", figure), lambda: task(f"figure-{figure}", shown, self._tables(FIGURES[figure])))

    def provenance(self) -> Task:
        """Who made what."""
        spec = {"study": self.study.model_dump(mode="json")}
        upstream = {**self._tables([*self.tables, "summary"]), "table1": self._recipe("table1")}
        upstream |= {name: self._recipe(name) for name in ("claims", "published")}
        upstream |= {name: self._recipe("paper_table", name) for name in self.paper_tables}
        upstream |= {name: self._recipe("figure", name) for name in self.figures}
        return self._once(("provenance",), lambda: task("provenance", spec, upstream))

    def choose(self) -> Task:
        """The choice among all candidates."""
        seed, methods = self.study.tuning.seed, list(self.study.tuning.candidates)
        settings = self.tuned_settings
        tuned = [self._recipe("tune", setting, seed, name=name) for setting in settings for name in methods]
        spec = {"settings": settings, "methods": methods, "seed": seed}
        return self._once(("choose",), lambda: task("choose", spec, {"tuned": recipe(tuned)}))

    def jobs(self) -> Iterator[PlannedJob]:
        """Every job that makes what ``rule all`` asks for."""
        study = self.study
        for data in study.data:
            yield _planned(self.prepare(data), paths.DATA, data=data)
        yield from self._runs()
        for setting, seed, forget_set in study.requests():
            where = {"setting": setting, "seed": seed, "forget_set": forget_set}
            yield _planned(self.unlearn(setting, seed, forget_set), paths.REQUEST, **where)
        for setting, seed in study.runs():
            if study.swept(setting):
                yield _planned(self.sweep(setting, seed), paths.SWEEPS, setting=setting, seed=seed)
            yield _planned(self.measure(setting, seed), paths.MEASUREMENT, setting=setting, seed=seed)
            if self.inspected(setting):
                yield _planned(self.analyse(setting, seed), paths.INSPECTION, setting=setting, seed=seed)
            if study.likelihood_ratio_attack:
                yield _planned(self.shadow(setting, seed), paths.SHADOWS, setting=setting, seed=seed)
        for setting in study.settings:
            for seed in self.tuning_seeds(setting):
                yield _planned(self.tune(setting, seed), paths.TUNING_JOB, setting=setting, seed=seed)
            if study.likelihood_ratio_attack:
                yield _planned(self.attack(setting), paths.ATTACK, setting=setting)
        for table in self.tables:
            made = self.tuned() if table == TUNED else self.collect(table)
            yield _planned(made, paths.COLLECTION, table=table)
        key = paths.COLLECTION.format(table="summary")
        yield PlannedJob(key, self.summarise(), tuple(paths.COLLECTION.format(table=name) for name in SUMMARIES))
        yield _planned(self.table1(), paths.PAPER, table="table1")
        yield PlannedJob("paper/claims", self.claims(), ("paper/claims", paths.COLLECTION.format(table=TESTS)))
        yield _planned(self.published(), paths.PAPER, table="published")
        for table in self.paper_tables:
            yield _planned(self.paper_table(table), paths.PAPER, table=table)
        for figure in self.figures:
            yield _planned(self.figure(figure), paths.FIGURE, figure=figure)
        yield _planned(self.provenance(), paths.PROVENANCE)

    def tuning_jobs(self) -> Iterator[PlannedJob]:
        """The further job that `snakemake tuning` asks for."""
        if self.tuned_settings:
            yield PlannedJob(paths.CHOICE, self.choose(), (paths.CHOICE, "tuning/candidates"))

    @property
    def decide_claims(self) -> list[str]:
        """The tables that the claims are decided by."""
        return [name for name in ("unlearning", "analysis", TUNED) if name in self.tables]

    @cached_property
    def paper_tables(self) -> list[str]:
        """Those of ``PAPER_TABLES`` that the study has something for."""
        study = self.study
        controls = any(setting.control for setting in study.settings.values())
        random = any(rule.kind == "random" for rule in study.forget_sets.values())
        idle = {name for name, kind in SHOWS.items() if kind not in self._analysed}
        idle |= set() if controls else {"table8", "table9", "table11"}
        idle |= set() if random else {"table10"}
        return [name for name in PAPER_TABLES if name not in idle]

    @cached_property
    def figures(self) -> list[str]:
        """Those of ``FIGURES`` that the study has something for."""
        idle = {name for name, kind in SHOWN.items() if kind not in self._analysed}
        there = {*self.tables, *SUMMARIES, TESTS}
        idle |= {name for name, tables in FIGURES.items() if not {*tables} <= there}
        settings = self.study.settings
        idle |= set() if any(setting.control for setting in settings.values()) else {"controls"}
        idle |= set() if any(len(self.study.forget_sets_of(name)) > 2 for name in settings) else {"designs"}
        return [name for name in FIGURES if name not in idle]

    @cached_property
    def _analysed(self) -> set[str]:
        """The kinds of analyses that are done in any setting."""
        study = self.study
        return {
            analysis.kind
            for name, analysis in study.analyses.items()
            if any(study.analysed(setting, name) for setting in study.settings)
        }

    def shown_in(self, table: str) -> list[str]:
        """The tables that one of the paper's is made from."""
        return [name for name in PAPER_TABLES[table] if name in self.tables]

    def _runs(self) -> Iterator[PlannedJob]:
        study = self.study
        seeds = {name: dict.fromkeys([*study.seeds_of(name), *self.tuning_seeds(name)]) for name in study.settings}
        for data, seed in {(study.settings[name].data, seed): None for name in study.settings for seed in seeds[name]}:
            yield _planned(self.split(data, seed), paths.SPLIT_JOB, data=data, seed=seed)
        for setting in study.settings:
            for seed in seeds[setting]:
                where: dict[str, Any] = {"setting": setting, "seed": seed}
                if self.scored(setting):
                    yield _planned(self.difficulty(setting, seed), paths.SCORING, **where)
                yield _planned(self.forget(setting, seed), paths.FORGETTING, **where)
                for train_set in self.train_sets(setting, seed):
                    for segment in self.segments(setting):
                        run = {**where, "train_set": train_set, "segment": segment}
                        yield _planned(self.train(**run), paths.SEGMENT, **run)
                yield _planned(self.select(setting, seed), paths.SELECTION, **where)

    @cached_property
    def _shown(self) -> dict[str, Any]:
        """What the headline figures and tables show: no controls, and of the forget sets the paper's design (within a few
        classes), or all that all of these settings have where there is none of that."""
        study = self.study
        settings = study.main_settings
        common = [name for name in study.forget_sets if all(name in study.forget_sets_of(one) for one in settings)]
        within = [name for name in common if study.forget_sets[name].kind == "within-classes"]
        return {
            "settings": settings,
            "forget_sets": within or common,
            "swept": [name for name in study.forget_sets if any(name in study.swept(one) for one in settings)],
            "checkpoints": study.checkpoints,
            "methods": list(study.methods),
            "sweep_method": study.sweep.method,
            "retrain": study.name_of("retrain"),
        }

    @cached_property
    def _meanings(self) -> dict[str, Any]:
        """What the names of the study are, as claims and paper tables must know it."""
        study = self.study
        return {
            "forget_sets": {
                name: {"kind": rule.kind, "fraction": getattr(rule, "fraction", None)}
                for name, rule in study.forget_sets.items()
            },
            "controls": {
                name: setting.control.model_dump() for name, setting in study.settings.items() if setting.control
            },
            "analyses": {name: analysis.kind for name, analysis in study.analyses.items()},
            "references": [name for name, method in study.methods.items() if method.kind in REFERENCES],
            "original": study.name_of("original"),
        }


def _planned(made: Task, pattern: str, **where: Any) -> PlannedJob:
    key = pattern.format(**where)
    return PlannedJob(key, made, (key,))
