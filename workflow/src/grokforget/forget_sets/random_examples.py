"""A forget set drawn from all classes."""

from __future__ import annotations

import numpy as np


def random_examples(labels: np.ndarray, generator: np.random.Generator, *, fraction: float) -> np.ndarray:
    """``fraction`` of all examples, uniformly without replacement: at least one, and at least one is retained."""
    wanted = min(max(round(fraction * len(labels)), 1), len(labels) - 1)
    return np.sort(generator.permutation(len(labels))[:wanted])
