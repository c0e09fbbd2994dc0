"""How often something happened, with an interval."""

from __future__ import annotations

import math


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The ends of Wilson's score interval (1927, JASA 22, 209-212) of a share, ``count`` of ``n``, without a correction for
    continuity; both NaN where n is 0."""
    if not n:
        return math.nan, math.nan
    # Only here: the import takes half a second.
    from scipy.stats import binomtest

    interval = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
