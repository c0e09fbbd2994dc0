"""Modular arithmetic on all pairs of residues."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import ExampleTable, Split


class Modular:
    """Token pairs (2,), int64; for + - * all p² pairs, for / the p(p-1) with a divisor other than 0."""

    def __init__(self, *, modulus: int, operation: str, train_fraction: float, validation_fraction: float) -> None:
        self.modulus, self.operation = modulus, operation
        self.fractions = (train_fraction, validation_fraction)

    def examples(self) -> ExampleTable:
        a, b = (grid.ravel() for grid in np.meshgrid(*[np.arange(self.modulus)] * 2, indexing="ij"))
        match self.operation:
            case "+":
                first, label = a, a + b
            case "-":
                first, label = a, a - b
            case "*":
                first, label = a, a * b
            case _:
                a, b = a[b != 0], b[b != 0]
                first, label = a * b % self.modulus, a
        pairs = np.stack([first, b], axis=1).astype(np.int64)
        return ExampleTable(pairs, (label % self.modulus).astype(np.int64), self.modulus, vocabulary=self.modulus)

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """A random draw, not balanced over classes, as in the literature."""
        order = generator.permutation(len(labels))
        n_train, n_validation = (round(fraction * len(labels)) for fraction in self.fractions)
        train, validation, test = np.split(order, [n_train, n_train + n_validation])
        return Split(np.sort(train), np.sort(validation), np.sort(test))
