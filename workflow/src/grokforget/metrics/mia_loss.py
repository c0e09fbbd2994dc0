"""Loss-based membership inference (Kurmanji et al. 2023, arXiv 2302.09880)."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import Cell
from grokforget.runtime.seeds import numpy_generator


def measure(cell: Cell, *, splits: int, clip: float) -> dict[str, float]:
    """``membership_accuracy``: how well forgotten examples are told from unseen ones by their loss; the ideal is the
    retrained model's, near .5.

    D_f against test examples of the same classes, as many of each (drawn by the cell's seed: the same for every method
    and checkpoint).
    """
    forgotten = cell.outputs[cell.outputs.split == "forget"]
    unseen = cell.outputs[(cell.outputs.split == "test") & cell.outputs.label.isin(forgotten.label.unique())]
    generator = numpy_generator(cell.seed, "membership")
    n = min(len(forgotten), len(unseen))
    members, others = (
        part.loss.to_numpy(np.float64)[np.sort(generator.permutation(len(part))[:n])] for part in (forgotten, unseen)
    )
    return {"membership_accuracy": attack_accuracy(members, others, splits, clip, cell.seed)}


def attack_accuracy(members: np.ndarray, others: np.ndarray, splits: int, clip: float, seed: int) -> float:
    """Cross-validated accuracy of a logistic regression on losses (n,) clipped to ± ``clip``; NaN with fewer than two
    of either."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

    if min(len(members), len(others)) < 2:
        return math.nan
    losses = np.nan_to_num(np.concatenate([members, others]), nan=clip, posinf=clip, neginf=-clip).clip(-clip, clip)
    labels = np.repeat([1, 0], [len(members), len(others)])
    folds = StratifiedShuffleSplit(splits, test_size=max(0.1, 2 / len(labels)), random_state=seed % 2**32)
    return float(cross_val_score(LogisticRegression(), losses[:, None], labels, cv=folds, scoring="accuracy").mean())
