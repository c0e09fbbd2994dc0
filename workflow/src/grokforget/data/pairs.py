"""All pairs of the elements of a finite set."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import ExampleTable, Split


class Pairs:
    """Token pairs (2,), int64, with labels among the same tokens; so many of them for training and for validation."""

    def __init__(self, *, train_fraction: float, validation_fraction: float) -> None:
        self.fractions = (train_fraction, validation_fraction)

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """A random draw, not balanced over classes, as in the literature."""
        order = generator.permutation(len(labels))
        n_train, n_validation = (round(fraction * len(labels)) for fraction in self.fractions)
        train, validation, test = np.split(order, [n_train, n_train + n_validation])
        return Split(np.sort(train), np.sort(validation), np.sort(test))


def all_pairs(elements: int) -> tuple[np.ndarray, np.ndarray]:
    """First and second element of all pairs, each int64 (elements²,), in the order of the first, then of the second."""
    a, b = (grid.ravel() for grid in np.meshgrid(*[np.arange(elements)] * 2, indexing="ij"))
    return a, b


def examples_of(products: np.ndarray, names: tuple[str, ...] = ()) -> ExampleTable:
    """The pairs of n elements, which may have ``names``, labelled by their ``products`` (n, n), int64 in [0, n)."""
    elements = len(products)
    return ExampleTable(
        np.stack(all_pairs(elements), axis=1).astype(np.int64),
        products.ravel().astype(np.int64),
        elements,
        vocabulary=elements,
        names=names,
    )
