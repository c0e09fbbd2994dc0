"""A forget set drawn from all classes."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import TrainingExamples


def random_examples(train: TrainingExamples, generator: np.random.Generator, *, fraction: float) -> np.ndarray:
    """``fraction`` of all examples, uniformly without replacement: at least one, and at least one is retained."""
    wanted = min(max(round(fraction * len(train)), 1), len(train) - 1)
    return np.sort(generator.permutation(len(train))[:wanted])
