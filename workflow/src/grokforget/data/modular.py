"""Modular arithmetic on all pairs of residues."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grokforget.data.examples import ExampleTable
from grokforget.data.pairs import Pairs, all_pairs

OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "a^2+b^2": lambda a, b: a**2 + b**2,
    "a^2+ab+b^2": lambda a, b: a**2 + a * b + b**2,
    "a^2+ab+b^2+a": lambda a, b: a**2 + a * b + b**2 + a,
    "a^3+ab": lambda a, b: a**3 + a * b,
    "a^3+ab^2+b": lambda a, b: a**3 + a * b**2 + b,
}
"""What is defined of all pairs, before it is taken modulo p. Of residues up to a thousand all fit an int64."""


class Modular(Pairs):
    """Token pairs (2,), int64; all p², but for / the p(p-1) with a divisor other than 0."""

    def __init__(self, *, modulus: int, operation: str, train_fraction: float, validation_fraction: float) -> None:
        super().__init__(train_fraction=train_fraction, validation_fraction=validation_fraction)
        self.modulus, self.operation = modulus, operation

    def examples(self) -> ExampleTable:
        a, b = all_pairs(self.modulus)
        if self.operation == "/":
            a, b = a[b != 0], b[b != 0]
            first, label = a * b % self.modulus, a
        else:
            first, label = a, OPERATIONS[self.operation](a, b)
        pairs = np.stack([first, b], axis=1).astype(np.int64)
        return ExampleTable(pairs, (label % self.modulus).astype(np.int64), self.modulus, vocabulary=self.modulus)
