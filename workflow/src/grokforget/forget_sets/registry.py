"""The forget sets: named rules that pick training examples."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry


class WithinClasses(Component):
    """A share of the examples of a few classes: the paper's main design (2 of 10 classes, 15 % and 50 % within them)."""

    implementation: ClassVar[str] = "grokforget.forget_sets.by_class:within_classes"

    kind: Literal["within-classes"] = "within-classes"
    class_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the classes to draw from, rounded to a whole number of at least one; .2 is 2 of 10."""
    fraction: float = Field(gt=0, lt=1)
    """Share of those classes' training examples to forget, the same in each class up to rounding."""


class WholeClasses(Component):
    """Every training example of a few classes."""

    implementation: ClassVar[str] = "grokforget.forget_sets.by_class:whole_classes"

    kind: Literal["whole-classes"] = "whole-classes"
    class_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the classes to forget, rounded to a whole number of at least one."""


class RandomExamples(Component):
    """Examples drawn from all classes alike (Table 10)."""

    implementation: ClassVar[str] = "grokforget.forget_sets.random_examples:random_examples"

    kind: Literal["random"] = "random"
    fraction: float = Field(gt=0, lt=1)
    """Share of the training set to forget."""


FORGET_SETS = registry(WithinClasses, WholeClasses, RandomExamples)
ForgetSetSettings = component_union(FORGET_SETS)
