"""Comparing two ways of doing one thing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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


def processor_seconds(actions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Of each, the median processor time of ``repeats`` calls, after one that does not count; in turn, so that a change of
    the machine's load meets all of them."""
    return [median(taken) for taken in _in_turn(actions, repeats)]


def fastest(actions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """As ``processor_seconds``, the least in place of the median: what a busy machine disturbs least."""
    return [min(taken) for taken in _in_turn(actions, repeats)]


def _in_turn(actions: Sequence[Callable[[], object]], repeats: int) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repeats + 1):
        for action, taken in zip(actions, times, strict=True):
            began = time.process_time()
            action()
            taken.append(time.process_time() - began)
    return [taken[1:] for taken in times]
