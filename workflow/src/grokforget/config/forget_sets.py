"""The forget sets: named rules that pick training examples."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry
from grokforget.config.data import DataSet
from grokforget.runtime.components import ComponentSpec


class ForgetSet(Component):
    """Settings of a forget set."""

    def difficulty(self) -> dict[str, Any] | None:
        """How the examples' difficulty is to be measured, for the job ``difficulty``; None where the rule asks for none."""
        return None

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        """What was found and what is allowed, where the rule cannot pick from such data."""
        return None


class WithinClasses(ForgetSet):
    """A share of the examples of a few classes: the paper's main design (2 of 10 classes, 15 % and 50 % within them)."""

    implementation: ClassVar[str] = "grokforget.forget_sets.by_class:within_classes"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["within-classes"] = "within-classes"
    class_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the classes to draw from, rounded to a whole number of at least one; .2 is 2 of 10."""
    fraction: float = Field(gt=0, lt=1)
    """Share of those classes' training examples to forget, the same in each class up to rounding."""


class WholeClasses(ForgetSet):
    """Every training example of a few classes."""

    implementation: ClassVar[str] = "grokforget.forget_sets.by_class:whole_classes"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["whole-classes"] = "whole-classes"
    class_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the classes to forget, rounded to a whole number of at least one."""


class RandomExamples(ForgetSet):
    """Examples drawn from all classes alike (Table 10)."""

    implementation: ClassVar[str] = "grokforget.forget_sets.random_examples:random_examples"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["random"] = "random"
    fraction: float = Field(gt=0, lt=1)
    """Share of the training set to forget."""


class UnevenClasses(ForgetSet):
    """Examples of all classes, of some many more than of others."""

    implementation: ClassVar[str] = "grokforget.forget_sets.uneven:uneven_classes"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["uneven-classes"] = "uneven-classes"
    fraction: float = Field(gt=0, lt=1)
    """Share of the training set to forget."""
    ratio: float = Field(default=0.5, gt=0, lt=1)
    """Each class, in a random order, gives this share of what the one before it gives; none gives all it has."""


class ByDifficulty(ForgetSet):
    """The examples of each class that the run on the full train set found hardest, or easiest."""

    implementation: ClassVar[str] = "grokforget.forget_sets.difficult:by_difficulty"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["by-difficulty"] = "by-difficulty"
    fraction: float = Field(gt=0, lt=1)
    """Share of the training set to forget, the same in each class up to rounding."""
    order: Literal["hardest", "easiest"] = "hardest"
    """Which end of the ranking is forgotten."""
    score: Literal["probability", "loss"] = "probability"
    """Difficulty is the mean along training of 1 - the probability of the right class, or of the cross-entropy, which with a
    large initialisation is mostly that of the untrained network."""
    snapshots: int = Field(default=20, ge=1, le=1000)
    """About how many snapshots to take the mean over, spread evenly over log steps."""

    def difficulty(self) -> dict[str, Any]:
        return {"score": self.score, "snapshots": self.snapshots}

    def not_settings(self) -> set[str]:
        """What the measuring of difficulty is told."""
        return {"score", "snapshots"}


class LocalGrokking(ForgetSet):
    """So many examples by how their loss went after a candidate epoch of the run on the full train set: the paper's locally
    grokked ones, whose loss falls least, locally ungrokked ones, and controls."""

    implementation: ClassVar[str] = "grokforget.forget_sets.local_grokking:local_grokking"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["local-grokking"] = "local-grokking"
    group: Literal["early", "late", "both", "random", "generalised", "memorised"]
    """``early``: the loss falls least (locally grokked); ``late``: it falls most (ungrokked); ``both``, half of each; ``random``,
    any. ``memorised`` and ``generalised``: at the end the loss of the question in other words is most, or least, above that of
    the question itself."""
    pairs: int = Field(ge=1)
    """How many examples to forget. Published: 50, 100, 150, 200."""
    from_epoch: float = Field(default=20, gt=0)
    """The candidate epoch. The snapshot nearest to its end is taken."""
    quantile: float | None = Field(default=0.25, gt=0, le=0.5)
    """A group is this share of the training examples; null: it is what is beyond ``low`` or ``high``."""
    low: float = 0.01
    """Nats, without a quantile: at most so much for ``early`` and ``generalised``. Published: .01."""
    high: float = 0.5
    """Nats, without a quantile: more than that for ``late`` and ``memorised``. Published: .5."""
    matched: Literal["length", "loss", "template"] | None = None
    """What groups shall not differ in: groups are taken within strata of like answer length, of like loss at the end, or of the
    same template; null: of nothing. A ``random`` group that is matched has the strata of the others."""
    strata: int = Field(default=12, ge=2, le=1000)
    """Of ``length`` and ``loss``: how many, of equally many examples each."""
    draw: int = Field(default=1, ge=1, le=1000)
    """Which of the draws, which are independent of each other."""
    snapshots: int = Field(default=20, ge=1, le=1000)
    """About how many snapshots losses are recorded at beside the two that groups go by, spread evenly over log steps."""

    def difficulty(self) -> dict[str, Any]:
        return {"from_epoch": self.from_epoch, "snapshots": self.snapshots}

    def not_settings(self) -> set[str]:
        """What the recording of losses is told."""
        return {"from_epoch", "snapshots"}

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        if self.quantile is None and self.low >= self.high:
            return f"low {self.low} and high {self.high}", "a low that is below high"
        of_texts = [f"matched {self.matched}"] if self.matched in ("length", "template") else []
        of_texts += [f"group {self.group}"] if self.group in ("generalised", "memorised") else []
        if of_texts and data.inputs != "text":
            return f"{' and '.join(of_texts)} of data of {data.inputs}", "other groups, matched in loss or in nothing"
        extent = data.extent()
        if extent and self.pairs >= extent.train:
            return f"pairs {self.pairs} of {extent.train} training examples", "fewer, so that something is retained"
        ends = {"both": 2, "random": 0}.get(self.group, 1)
        if extent and ends and self.quantile and (most := int(self.quantile * extent.train + 1e-9) * ends) < self.pairs:
            allowed = f"at most {most}, or a larger quantile"
            return f"pairs {self.pairs} of {extent.train} training examples, quantile {self.quantile}", allowed
        return None


class Duplicated(ForgetSet):
    """The examples that are nearest to another training example of their class; of tokens, those with the same tokens in
    another order."""

    implementation: ClassVar[str] = "grokforget.forget_sets.duplicated:duplicated"

    kind: Literal["duplicated"] = "duplicated"
    fraction: float = Field(gt=0, lt=1)
    """Share of the training set to forget."""
    twins: Literal["together", "apart"] = "together"
    """Whether the doubles of what is forgotten are forgotten as well, or all retained."""

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        operation = getattr(data, "operation", "+")
        if operation in ("-", "/"):
            return f"duplicates under {operation}", "an operation that gives the same for (a, b) and (b, a): +, *"
        return None


EXACT = registry(WithinClasses, WholeClasses, RandomExamples, UnevenClasses, ByDifficulty, LocalGrokking, Duplicated)


class Noisy(ForgetSet):
    """A request that names some of the wrong examples: methods and retrained reference obey it as it is."""

    implementation: ClassVar[str] = "grokforget.forget_sets.noisy:noisy"

    kind: Literal["noisy"] = "noisy"
    intended: component_union(EXACT)  # type: ignore[valid-type]
    """What should be forgotten."""
    wrong: float = Field(default=0.2, gt=0, lt=1)
    """Share of it that the request leaves out, and puts as many examples in place of that should be retained."""

    def difficulty(self) -> dict[str, Any] | None:
        settings: dict[str, Any] | None = self.intended.difficulty()
        return settings

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        reason: tuple[object, str] | None = self.intended.conflict_with(data)
        return reason

    def is_for(self, objective: str) -> bool:
        of_intended: bool = self.intended.is_for(objective)
        return of_intended

    def spec(self) -> ComponentSpec:
        """With the rule that is meant as a component of its own."""
        settings = {"wrong": self.wrong, "intended": self.intended.spec().model_dump()}
        return ComponentSpec(implementation=self.implementation, settings=settings)


FORGET_SETS = {**EXACT, **registry(Noisy)}
ForgetSetSettings = component_union(FORGET_SETS)
