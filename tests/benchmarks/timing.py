"""Comparing two ways of doing one thing."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of ``repeats`` calls, after one that does not count."""
    action()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return median(times)
