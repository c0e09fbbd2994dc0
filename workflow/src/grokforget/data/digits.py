"""scikit-learn's 8x8 digits."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import ExampleTable, Split, class_balanced


class Digits:
    """1797 images (1, 8, 8), float32 in [0, 1], 10 classes."""

    def __init__(self, *, train: int, validation: int) -> None:
        self.sizes = (train, validation)

    def examples(self) -> ExampleTable:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = (digits.images / 16).astype(np.float32)[:, None]
        return ExampleTable(images, digits.target.astype(np.int64), n_classes=10)

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """Class-balanced train and validation sets, disjoint; the rest is the test set."""
        train, validation, test = class_balanced(labels, self.sizes, generator)
        return Split(train, validation, test)
