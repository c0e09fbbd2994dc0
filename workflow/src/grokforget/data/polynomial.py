"""Numbers that are a polynomial of one direction of Gaussian vectors: a task of regression."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.hermite_e import hermeval

from grokforget.data.examples import ExampleTable, Split
from grokforget.runtime.seeds import numpy_generator


class Polynomial:
    """Vectors x (dimensions,), float32, of independent N(0, 1) numbers. The target (1,), float32, is He_k(β·x) / √k!, k the
    degree: of mean 0 and variance 1. β, a unit vector drawn evenly, is the extra ``direction`` (dimensions,), float64."""

    def __init__(self, *, dimensions: int, degree: int, train: int, validation: int, test: int) -> None:
        self.dimensions, self.degree, self.sizes = dimensions, degree, (train, validation, test)

    def examples(self) -> ExampleTable:
        """The same for every seed, which draws what becomes of them. There are no classes: all have one label."""
        generator = numpy_generator(0, "polynomial")
        direction = generator.standard_normal(self.dimensions)
        direction /= np.linalg.norm(direction)
        inputs = generator.standard_normal((sum(self.sizes), self.dimensions)).astype(np.float32)
        targets = hermite(inputs @ direction, self.degree).astype(np.float32)[:, None]
        labels = np.zeros(len(inputs), dtype=np.int64)
        return ExampleTable(inputs, labels, n_classes=1, targets=targets, extras={"direction": direction})

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """A random draw."""
        train, validation, _ = self.sizes
        parts = np.split(generator.permutation(len(labels)), [train, train + validation])
        return Split(*map(np.sort, parts))


def hermite(z: np.ndarray, degree: int) -> np.ndarray:
    """He_k(z) / √k!, He_k being the probabilists' Hermite polynomial of degree k: for z ~ N(0, 1) its mean is 0 (k ≥ 1) and its
    variance 1."""
    return np.asarray(hermeval(z, [0.0] * degree + [1 / math.sqrt(math.factorial(degree))]))
