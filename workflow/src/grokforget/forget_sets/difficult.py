"""Forget sets of the examples that were hardest, or easiest, to learn."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import TrainingExamples
from grokforget.forget_sets.apportion import apportion


def by_difficulty(
    train: TrainingExamples, generator: np.random.Generator, *, fraction: float, order: str
) -> np.ndarray:
    """``fraction`` of the examples of each class up to rounding, the ``hardest`` or the ``easiest`` of the class.

    Balanced over classes, so that it differs from a random forget set in difficulty alone. Ties are broken at random; what
    is not a number, where a run has diverged, counts as hardest. ValueError where the examples have no difficulty.
    """
    if train.difficulty is None:
        raise ValueError("forgetting by difficulty needs the examples' difficulty")
    harder = np.nan_to_num(train.difficulty, nan=np.inf, posinf=np.inf)
    rank = harder if order == "easiest" else -harder
    classes, sizes = np.unique(train.labels, return_counts=True)
    # In a random order, so that no class is always the one that is rounded up.
    mixed = generator.permutation(len(classes))
    wanted = min(max(round(fraction * len(train)), 1), len(train) - 1)
    picked = []
    for label, part in zip(classes[mixed], apportion(wanted, sizes[mixed].astype(float), sizes[mixed]), strict=True):
        members = generator.permutation(np.flatnonzero(train.labels == label))
        picked.append(members[np.argsort(rank[members], kind="stable")][:part])
    return np.sort(np.concatenate(picked))
