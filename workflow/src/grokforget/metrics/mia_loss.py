"""Loss-based membership inference (Kurmanji et al. 2023, arXiv 2302.09880)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from grokforget.metrics.base import Cell
from grokforget.runtime.seeds import numpy_generator


def measure(cell: Cell, *, splits: int, clip: float) -> dict[str, float]:
    """``membership_accuracy``: how well forgotten examples are told from unseen ones by their loss; the ideal is the
    retrained model's, near .5.

    D_f against test examples of the same classes, as many of each (drawn by the cell's seed: the same for every method
    and checkpoint).
    """
    forgotten, unseen = (cell.outputs.column(split, "loss") for split in ("forget", "test"))
    unseen = unseen[np.isin(cell.outputs.column("test", "label"), cell.outputs.column("forget", "label"))]
    generator = numpy_generator(cell.seed, "membership")
    n = min(len(forgotten), len(unseen))
    members, others = (part[np.sort(generator.permutation(len(part))[:n])] for part in (forgotten, unseen))
    return {"membership_accuracy": attack_accuracy(members, others, splits, clip, cell.seed)}


def attack_accuracy(members: np.ndarray, others: np.ndarray, splits: int, clip: float, seed: int) -> float:
    """Cross-validated accuracy of a logistic regression on losses, (n,) of either, clipped to ± ``clip``.

    A tenth is held out, two examples at least, in each of ``splits`` draws (``held_out``). NaN with fewer than two of
    either, or with a loss that is not finite. Raises ValueError where there are more of one than of the other.
    """
    if len(members) != len(others):
        raise ValueError(f"{len(members)} members and {len(others)} others: the attack takes as many of either")
    losses = np.concatenate([members, others]).astype(np.float64)
    if len(members) < 2 or not np.isfinite(losses).all():
        return math.nan
    losses, is_member = losses.clip(-clip, clip), np.arange(len(losses)) < len(members)
    held = np.stack(list(held_out(len(members), splits, seed)))
    slope, intercept = logistic_regression(losses, is_member, ~held)
    right = (slope[:, None] * losses + intercept[:, None] > 0) == is_member
    return float(((right & held).sum(1) / held.sum(1)).mean())


def held_out(n: int, splits: int, seed: int) -> Iterator[np.ndarray]:
    """Which of n members and then n others a split holds out, (2n,) bool: a tenth of either, as near as whole numbers allow.

    The draws are, number for number, those of ``StratifiedShuffleSplit`` of scikit-learn, importing which would take a
    job longer than all its metrics.
    """
    generator = np.random.RandomState(seed % 2**32)
    n_held = math.ceil(max(0.1, 2 / (2 * n)) * 2 * n)
    for _ in range(splits):
        learnt = np.full(2, (2 * n - n_held) // 2)
        if n_held % 2:
            learnt[generator.choice(2, size=1, replace=False)] += 1
        held = np.zeros(2 * n, bool)
        # Others first: their label is the smaller one.
        for first, kept in zip((n, 0), learnt, strict=True):
            held[first + generator.permutation(n)[kept:]] = True
        # Both parts are put into a random order there. Here the order means nothing, but the next draws depend on it.
        generator.permutation(2 * n - n_held), generator.permutation(n_held)
        yield held


def logistic_regression(x: np.ndarray, labels: np.ndarray, learnt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes w and intercepts b, (S,) each, of S regressions of labels (n,) bool on x (n,), each from the examples ``learnt``
    (S, n) bool: the minimum of Σ log(1 + exp(∓(w x + b))) + w²/2, as of ``LogisticRegression`` of scikit-learn.

    By Newton's method with halved steps: the function is convex, and all S take their steps together.
    """
    weights, y = learnt.astype(np.float64), labels.astype(np.float64)

    def objective(w: np.ndarray, b: np.ndarray) -> np.ndarray:
        z = w[:, None] * x + b[:, None]
        return (weights * (np.logaddexp(0, z) - y * z)).sum(1) + w**2 / 2

    w, b = np.zeros((2, len(learnt)))
    value = objective(w, b)
    for _ in range(100):
        p = 0.5 + 0.5 * np.tanh((w[:, None] * x + b[:, None]) / 2)
        residual, curvature = weights * (p - y), weights * p * (1 - p)
        slope_w, slope_b = (residual * x).sum(1) + w, residual.sum(1)
        total = np.maximum(curvature.sum(1), 1e-300)
        centre = (curvature * x).sum(1) / total
        step_w = (slope_w - centre * slope_b) / ((curvature * (x - centre[:, None]) ** 2).sum(1) + 1)
        step_b = slope_b / total - centre * step_w
        # Until the function rises by no more than round-off.
        bound, length = value + 1e-13 * np.abs(value), np.ones(len(w))
        while (worse := (found := objective(w - length * step_w, b - length * step_b)) > bound).any():
            length[worse] /= 2
        w, b, value = w - length * step_w, b - length * step_b, found
        if (np.abs(length * step_w) * np.abs(x).max() + np.abs(length * step_b)).max() <= 1e-12:
            break
    return w, b
