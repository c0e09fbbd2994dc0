"""Forget sets of the examples that have a double in the training set."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import TrainingExamples
from grokforget.forget_sets.nearest import Nearest, nearest_of_class


def duplicated(train: TrainingExamples, generator: np.random.Generator, *, fraction: float, twins: str) -> np.ndarray:
    """``fraction`` of all examples, those first that are nearest to another training example of their class.

    An example's twins are the examples at its smallest distance: all exact copies of it where there are any. With ``twins``
    ``together`` what is forgotten has no twin left among the retained; equally near ones go together, so that the whole may
    miss ``fraction`` by half a group. With ``apart`` every example that is forgotten has all its twins retained; where there
    are too few such examples, fewer are forgotten. Ties are broken at random. ValueError where no example has a twin.
    """
    near = nearest_of_class(train)
    if np.isinf(near.distance).all():
        raise ValueError("no training example has a duplicate of the same label")
    mixed = generator.permutation(len(train))
    ranked = mixed[np.argsort(near.distance[mixed], kind="stable")]
    wanted = min(max(round(fraction * len(train)), 1), len(train) - 1)
    picked = together(ranked, near, wanted) if twins == "together" else apart(ranked, near, wanted)
    return np.sort(np.array(picked, dtype=np.int64))


def together(ranked: np.ndarray, near: Nearest, wanted: int) -> list[int]:
    """Groups of equally near twins, in the order of their first members, for as long as that brings their number nearer
    to ``wanted``; one in any case. An example's twins at a smaller distance come before it by rank."""
    picked: list[int] = []
    seen: set[int] = set()
    for first in ranked.tolist():
        if first in seen:
            continue
        group = equals(first, near)
        seen |= group
        if picked and abs(len(picked) + len(group) - wanted) >= abs(len(picked) - wanted):
            break
        picked += group
    return picked


def equals(first: int, near: Nearest) -> set[int]:
    """An example and all that are reached from it by going from twin to twin at the same distance."""
    group, todo = {first}, [first]
    while todo:
        reached = {twin for twin in near.twins[todo.pop()].tolist() if near.distance[twin] == near.distance[first]}
        todo += reached - group
        group |= reached
    return group


def apart(ranked: np.ndarray, near: Nearest, wanted: int) -> list[int]:
    """Up to ``wanted`` examples of which none is another one's twin: by rank, each that has no twin among those before it.
    What comes later by rank is a twin of an earlier one only where that is its twin too."""
    picked: set[int] = set()
    for one in ranked.tolist():
        if picked.isdisjoint(near.twins[one].tolist()):
            picked.add(one)
        if len(picked) == wanted:
            break
    return list(picked)
