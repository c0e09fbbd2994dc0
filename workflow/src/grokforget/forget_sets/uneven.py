"""A forget set that weighs on some classes more than on others."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import TrainingExamples
from grokforget.forget_sets.apportion import apportion


def uneven_classes(
    train: TrainingExamples, generator: np.random.Generator, *, fraction: float, ratio: float
) -> np.ndarray:
    """``fraction`` of all examples, of which the k-th class in a random order has a part in proportion to ``ratio``^k.

    One example of every class is retained: what a class cannot give is asked of the others, in proportion to their parts.
    ValueError where no class has two examples.
    """
    classes, sizes = np.unique(train.labels, return_counts=True)
    order = generator.permutation(len(classes))
    limits = sizes[order] - 1
    if not limits.any():
        raise ValueError("forgetting unevenly over classes needs a class of two training examples or more")
    wanted = max(round(fraction * len(train)), 1)
    # Never 0, which could be in proportion to nothing.
    weights = np.maximum(ratio ** np.arange(len(classes), dtype=np.float64), 1e-300)
    parts = apportion(wanted, weights, limits)
    picked = [
        generator.permutation(np.flatnonzero(train.labels == label))[:part]
        for label, part in zip(classes[order], parts, strict=True)
    ]
    return np.sort(np.concatenate(picked))
