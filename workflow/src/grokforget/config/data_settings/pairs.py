"""Data sets of all pairs of the elements of a set, with what an operation makes of them."""

from __future__ import annotations

import re
from math import factorial, isqrt
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import problem
from grokforget.config.data_settings.base import DataSet
from grokforget.config.data_settings.own import absolute, file_of
from grokforget.config.work import Extent

MOST_ELEMENTS = 1000
"""Of a group: a million pairs, and as many equations of associativity for each of its elements."""


class Pairs(DataSet):
    """What all data sets of pairs have in common."""

    inputs: ClassVar[str] = "tokens"

    train_fraction: float = Field(gt=0, lt=1)
    """Share of all pairs to train on; .3 to .5 groks."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of all pairs for choosing checkpoints; what is left is the test set."""

    def sizes(self) -> tuple[int, int] | None:
        """How many elements and how many pairs there are; None where only a file tells."""
        return None

    def conflict(self) -> tuple[object, str] | None:
        if self.train_fraction + self.validation_fraction >= 1:
            return (
                f"fractions {self.train_fraction} + {self.validation_fraction}",
                "a sum below 1, so that test pairs are left",
            )
        extent = self.extent()
        if extent and min(extent.train, extent.validation, extent.test) < 1:
            return (
                f"{extent.train} training and {extent.validation} validation pairs of {extent.evaluated}",
                "at least one for each and for testing",
            )
        return None

    def extent(self) -> Extent | None:
        sizes = self.sizes()
        if sizes is None:
            return None
        elements, pairs = sizes
        train, validation = (round(fraction * pairs) for fraction in (self.train_fraction, self.validation_fraction))
        return Extent(train, validation, pairs - train - validation, 2 * elements, elements, 16 * pairs)


class Modular(Pairs):
    """All pairs (a, b) with the label a∘b mod p (Power et al. 2022, arXiv 2201.02177)."""

    implementation: ClassVar[str] = "grokforget.data.modular:Modular"

    kind: Literal["modular"] = "modular"
    modulus: int = Field(ge=3, le=1000)
    """p; a prime where the operation is division."""
    operation: Literal["+", "-", "*", "/", "a^2+b^2", "a^2+ab+b^2", "a^2+ab+b^2+a", "a^3+ab", "a^3+ab^2+b"] = "+"
    """``/`` is the table of (a·b mod p, b) → a for b ≠ 0, which needs no inverse. The polynomials are those of Power et al.; the
    last one did not grok there."""

    def conflict(self) -> tuple[object, str] | None:
        if self.operation == "/" and not is_prime(self.modulus):
            return f"division modulo {self.modulus}", "a prime modulus"
        return super().conflict()

    def sizes(self) -> tuple[int, int]:
        return self.modulus, self.modulus * (self.modulus - (self.operation == "/"))


GROUPS: dict[str, tuple[int, int]] = {
    "S": (3, 6),
    "A": (3, 6),
    "D": (3, MOST_ELEMENTS // 2),
    "C": (2, MOST_ELEMENTS),
}
"""The least and the largest n of each family of groups."""


def group_name(name: str) -> str:
    """A validator: a family of groups, and n."""
    found = re.fullmatch(r"([SADC])([1-9]\d*)", name)
    least, most = GROUPS[found[1]] if found else (0, -1)
    if not found or not least <= int(found[2]) <= most:
        allowed = ", ".join(f"{family}{low} to {family}{high}" for family, (low, high) in GROUPS.items())
        raise problem("no such group", name, allowed)
    return name


class Group(Pairs):
    """All pairs (a, b) of the elements of a finite group with the label a∘b (Power et al. 2022, arXiv 2201.02177; Chughtai et al.
    2023, arXiv 2302.03025)."""

    implementation: ClassVar[str] = "grokforget.data.group:Group"

    kind: Literal["group"] = "group"
    name: Annotated[str, AfterValidator(group_name)]
    """``Sn`` and ``An``: all, and the even permutations of n things, n from 3 to 6 (S5 has 120 elements, A5 60); ``Dn``: the
    rotations and reflections of the regular n-gon (D59 has 118); ``Cn``: its rotations alone, which is addition modulo n. In a∘b
    b is applied first."""

    def sizes(self) -> tuple[int, int]:
        family, n = self.name[0], int(self.name[1:])
        elements = {"S": factorial(min(n, 6)), "A": factorial(min(n, 6)) // 2, "D": 2 * n, "C": n}[family]
        return elements, elements**2


class GroupTable(Pairs):
    """All pairs (a, b) of the elements of any finite group, given by its table."""

    implementation: ClassVar[str] = "grokforget.data.group:GroupTable"

    kind: Literal["group-table"] = "group-table"
    path: Annotated[str, AfterValidator(file_of(".csv"))]
    """A .csv file without names: n lines of n whole numbers from 0 to n - 1, in line a and column b (both from 0) the number of
    a∘b, for n up to 1,000. A table that is no group's is refused, with the place that shows it. A relative path begins where
    Snakemake runs, as ``results/`` does."""

    def files(self) -> list[str]:
        return [str(absolute(self.path))]

    def not_settings(self) -> set[str]:
        """The file counts by its content, not by its name."""
        return {"path"} | super().not_settings()


def is_prime(n: int) -> bool:
    """Trial division; n is at most a thousand."""
    return n > 1 and all(n % divisor for divisor in range(2, isqrt(n) + 1))
