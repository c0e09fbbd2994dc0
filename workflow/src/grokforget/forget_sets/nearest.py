"""How near training examples are to others of their class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grokforget.data.examples import TrainingExamples

BLOCK = 512
"""Rows of a distance matrix at a time."""


class Nearest(NamedTuple):
    """Of each example the distance to the nearest others of its class, (n,) float64, and which they are, int64: inf and
    none where there is nothing to compare it with."""

    distance: np.ndarray
    twins: list[np.ndarray]


def nearest_of_class(train: TrainingExamples) -> Nearest:
    """For images and vectors the Euclidean distance of the inputs as they are stored, exactly 0 for exact copies. Tokens have no
    distance but 0, between examples that hold the same tokens in whatever order: (a, b) and (b, a) in modular addition."""
    # Pixels are uint8.
    compare = copies if train.inputs.dtype == np.int64 else neighbours
    distance = np.full(len(train), np.inf)
    twins = [np.zeros(0, dtype=np.int64)] * len(train)
    for label in np.unique(train.labels):
        members = np.flatnonzero(train.labels == label)
        distance[members], found = compare(train.inputs[members].reshape(len(members), -1))
        for member, positions in zip(members.tolist(), found, strict=True):
            twins[member] = members[positions]
    return Nearest(distance, twins)


def copies(tokens: np.ndarray) -> Nearest:
    """Among the rows (m, length) those that hold the same tokens."""
    bags = np.unique(np.sort(tokens, axis=1), axis=0, return_inverse=True)[1].ravel()
    same = [np.flatnonzero(bags == bag) for bag in range(bags.max() + 1)]
    twins = [same[bag][same[bag] != row] for row, bag in enumerate(bags.tolist())]
    return Nearest(np.array([0.0 if len(found) else np.inf for found in twins]), twins)


def neighbours(points: np.ndarray) -> Nearest:
    """Among the rows (m, features) those at the smallest distance.

    A matrix product finds the candidates, whose differences are then taken: products alone do not give exact copies a
    distance of 0.
    """
    points = points.astype(np.float64)
    centred = points - points.mean(axis=0)
    squares = np.square(centred).sum(axis=1)
    slack = 1e-9 * squares.max()
    distance = np.full(len(points), np.inf)
    twins = [np.zeros(0, dtype=np.int64)] * len(points)
    for start in range(0, len(points) if len(points) > 1 else 0, BLOCK):
        rough = squares - 2 * centred[start : start + BLOCK] @ centred.T
        for row, near in enumerate(rough, start):
            near[row] = np.inf
            candidates = np.flatnonzero(near <= near.min() + slack)
            exact = np.square(points[candidates] - points[row]).sum(axis=1)
            distance[row] = np.sqrt(exact.min())
            twins[row] = candidates[exact == exact.min()]
    return Nearest(distance, twins)
