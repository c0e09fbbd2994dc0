"""The tasks of what is asked of trained and unlearned models: analyses, attacks, and the candidates of the tuning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grokforget import paths
from grokforget.plan_runs import RunPlan
from grokforget.recipes import Task, recipe, task


class InspectionPlan(RunPlan):
    """The tasks of a study's analyses, attacks and tuning."""

    def tuning_seeds(self, setting: str) -> list[int]:
        """The seeds with which candidates are tried: those that are reported, and the one that chooses."""
        tried = self.study.tuning.candidates and self.study.tuned(setting)
        return [*self.study.seeds_of(setting), self.study.tuning.seed] if tried else []

    def analyse(self, setting: str, seed: int) -> Task:
        """All analyses of a run: of its checkpoints and of what unlearning made of them, and of its snapshots; a unit a
        (moment, forget set, analysis)."""
        study = self.study
        full = self._recipe("select", setting, seed, name="full")
        methods = [name for name in study.methods if study.methods[name].kind != "original"]

        def units() -> Iterator[tuple[str, tuple[dict[str, Any], dict[str, Any]]]]:
            for name, analysis in study.analyses.items():
                for forget_set in study.analysed(setting, name):
                    spec = {"analysis": analysis.spec(), "forget_set": forget_set}
                    upstream: dict[str, Any] = {"forget": self._recipe("forget", setting, seed, name=forget_set)}
                    if {"before", "after"} & {*analysis.at}:
                        before, after = "before" in analysis.at, methods if "after" in analysis.at else []
                        above = {**upstream, "checkpoints": full}
                        if after:
                            above["retrained"] = self._recipe("select", setting, seed, name=f"without-{forget_set}")
                            above["unlearned"] = {
                                method: self._recipe("unlearn", setting, seed, forget_set, name=method)
                                for method in after
                            }
                        told = {"checkpoints": study.checkpoints_of(setting), "before": before, "methods": after}
                        yield f"{paths.BEFORE}/{forget_set}/{name}", ({**spec, **told}, above)
                    if "along" in analysis.at and forget_set in study.swept(setting):
                        told = {"snapshots": study.sweep.snapshots}
                        above = {**upstream, **self._run(setting, seed, "full")}
                        yield f"{paths.ALONG}/{forget_set}/{name}", ({**spec, **told}, above)

        return self._once(
            ("analyse", setting, seed),
            lambda: task(
                "analyse",
                {**self._compute(setting, seed), "training": study.settings[setting].training.spec()},
                self._examples(setting, seed),
                dict(units()),
            ),
        )

    def shadow(self, setting: str, seed: int) -> Task:
        """What the models of all runs of a seed say of every example, a unit a train set."""
        return self._once(
            ("shadow", setting, seed),
            lambda: task(
                "shadow",
                {**self._compute(setting, seed), "checkpoints": self.study.checkpoints_of(setting)},
                self._examples(setting, seed),
                {
                    train_set: (
                        {"train_set": train_set},
                        {
                            "checkpoints": self._recipe("select", setting, seed, name=train_set),
                            **self._forgotten(setting, seed, train_set),
                        },
                    )
                    for train_set in self.train_sets(setting, seed)
                },
            ),
        )

    def attack(self, setting: str) -> Task:
        """Every cell of a setting attacked with the other seeds' runs as shadow models, a unit a forget set."""
        study = self.study
        seeds = study.seeds_of(setting)
        train_sets = study.train_sets_of(setting)
        spec = {
            "setting": setting,
            "data": study.settings[setting].data,
            "seeds": seeds,
            "methods": list(study.methods),
            "checkpoints": study.checkpoints_of(setting),
            "train_sets": train_sets,
        }
        shadows = recipe([self._recipe("shadow", setting, seed, name=name) for seed in seeds for name in train_sets])
        return self._once(
            ("attack", setting),
            lambda: task(
                "attack",
                spec,
                {"shadows": shadows, "examples": [self._examples(setting, seed) for seed in seeds]},
                {
                    forget_set: (
                        {"forget_set": forget_set},
                        {
                            "unlearned": recipe(
                                [
                                    self._recipe("unlearn", setting, seed, forget_set, name=method)
                                    for seed in seeds
                                    for method in study.methods
                                ]
                            )
                        },
                    )
                    for forget_set in study.forget_sets_of(setting)
                },
            ),
        )

    def tune(self, setting: str, seed: int) -> Task:
        """Every candidate of every method on the forget sets of the tuning, a unit a method."""
        tuning, forget_sets = self.study.tuning, self.study.tuned(setting)
        return self._once(
            ("tune", setting, seed),
            lambda: task(
                "tune",
                {
                    **self._compute(setting, seed),
                    "forget_sets": forget_sets,
                    "checkpoints": self.study.checkpoints_of(setting),
                },
                {
                    **self._examples(setting, seed),
                    "forget": [self._recipe("forget", setting, seed, name=name) for name in forget_sets],
                    "checkpoints": self._recipe("select", setting, seed, name="full"),
                },
                {
                    name: (
                        {
                            "method": self.study.method(setting, name).spec(),
                            "parameter": candidates.parameter,
                            "candidates": candidates.values,
                        },
                        {},
                    )
                    for name, candidates in tuning.candidates.items()
                },
            ),
        )
