"""Forget sets within a few classes.

A rule is a function ``(train, generator, **settings)`` → sorted positions, int64, among the training examples ``train``;
or a ``Request``, where what is asked for is not what was meant.
"""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import TrainingExamples


def whole_classes(train: TrainingExamples, generator: np.random.Generator, *, class_share: float) -> np.ndarray:
    """All examples of ``class_share`` of the classes, drawn at random."""
    return np.flatnonzero(np.isin(train.labels, drawn_classes(train.labels, generator, class_share)))


def within_classes(
    train: TrainingExamples, generator: np.random.Generator, *, class_share: float, fraction: float
) -> np.ndarray:
    """``fraction`` of the examples in each of ``class_share`` of the classes: at least one, and never all, of the drawn
    classes.

    Rounding is shared out over the classes, so that the whole is as near to ``fraction`` as whole numbers go.
    """
    picked: list[np.ndarray] = []
    seen = 0
    for label in drawn_classes(train.labels, generator, class_share):
        members = generator.permutation(np.flatnonzero(train.labels == label))
        seen += len(members)
        wanted = max(min(round(fraction * seen), seen - 1), 1) - sum(map(len, picked))
        picked.append(members[:wanted])
    return np.sort(np.concatenate(picked))


def drawn_classes(labels: np.ndarray, generator: np.random.Generator, class_share: float) -> np.ndarray:
    """Which classes, in random order: ``class_share`` of those present, at least one and not all.

    ValueError where the training set has a single class.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError("forgetting by class needs at least two classes in the training set")
    wanted = min(max(round(class_share * len(classes)), 1), len(classes) - 1)
    return generator.permutation(classes)[:wanted]
