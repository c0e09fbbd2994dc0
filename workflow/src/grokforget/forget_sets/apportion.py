"""Whole numbers in given proportions."""

from __future__ import annotations

import numpy as np


def apportion(total: int, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """``total`` shared out in proportion to ``weights`` (k,), no share above its limit (k,): int64 (k,).

    What a share cannot take goes to the others, in proportion to their weights. Rounded by largest remainders, of equal ones
    the first. The whole is less than ``total`` only where the limits sum to less.
    """
    total = min(total, int(limits.sum()))
    shares, full = np.zeros(len(weights)), limits == 0
    while not full.all():
        shares[full] = limits[full]
        shares[~full] = (total - limits[full].sum()) * weights[~full] / weights[~full].sum()
        over = shares > limits
        if not over.any():
            break
        full |= over
    shares = np.minimum(shares, limits)
    # A quotient that stands for a whole number may lie a last bit below it.
    whole = np.floor(shares + 1e-9).astype(np.int64)
    missing = total - int(whole.sum())
    whole[np.argsort(whole - shares, kind="stable")[:missing]] += 1
    return whole
