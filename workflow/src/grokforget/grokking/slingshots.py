"""Slingshots: the weight norm grows until the train loss jumps, and again (Thilak et al. 2022, arXiv 2206.04817)."""

from __future__ import annotations

import math

import numpy as np

SPIKE = 10.0
"""A loss is on a spike from this many times the lowest one since the last spike, until it is back at the square root of that."""
LEAST_LOSS = 1e-6
"""A lower loss counts as this: below it a factor is round-off."""
GROWTH = 0.01
"""By how much, relatively, the norm has grown before a spike that is a slingshot's."""


def slingshots(steps: np.ndarray, norm: np.ndarray, loss: np.ndarray, t_mem: float) -> list[int]:
    """The steps at which the spike of a slingshot begins, of evaluations in order, arrays (n,), from step ``t_mem`` on; none
    where that is NaN.

    A spike counts where the loss comes back from it, and the norm at its first evaluation is ``GROWTH`` or more above the
    lowest since the last spike, or since ``t_mem``. A norm of all weights is one of the last layer too, whose growth it is in the
    paper, as far as that is what grows.
    """
    if math.isnan(t_mem):
        return []
    found: list[int] = []
    lowest_loss = lowest_norm = math.inf
    begun: int | None = None
    growing = False
    for step, size, value in zip(steps, norm, np.maximum(loss, LEAST_LOSS), strict=True):
        if step < t_mem:
            continue
        if begun is None and value >= SPIKE * lowest_loss:
            begun, growing = int(step), size >= (1 + GROWTH) * lowest_norm
        elif begun is not None and value <= math.sqrt(SPIKE) * lowest_loss:
            found += [begun] if growing else []
            begun, lowest_loss, lowest_norm = None, math.inf, math.inf
        if begun is None:
            lowest_loss, lowest_norm = min(lowest_loss, value), min(lowest_norm, size)
    return found
