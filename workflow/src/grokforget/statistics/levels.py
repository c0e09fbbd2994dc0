"""What a model is where its forget accuracy has fallen to a level, read off the updates around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ROUND_OFF = 1e-9
"""In a share of N examples; it does not count."""


@dataclass(frozen=True)
class Crossing:
    """Rows ``before`` and ``after`` a level is reached (the same where a row lies on it, or the first below it already), and how
    far between them, in [0, 1]."""

    before: int
    after: int
    share: float

    def of(self, values: ArrayLike) -> float:
        """A column of the rows, interpolated."""
        column = np.asarray(values, np.float64)
        return float(column[self.before] + (column[self.after] - column[self.before]) * self.share)


def crossing(forget_accuracy: ArrayLike, level: float) -> Crossing | None:
    """Where the forget accuracy (n,) of successive models first falls to ``level``, interpolated linearly between the
    models around it; None where it never does.

    Gradient ascent falls through most levels in two or three updates, so the updates themselves are too coarse a measure.
    """
    accuracy = np.asarray(forget_accuracy, np.float64)
    reached = np.flatnonzero(accuracy <= level + ROUND_OFF)
    if not len(reached):
        return None
    after = int(reached[0])
    fall = accuracy[after - 1] - accuracy[after] if after else 0.0
    if not after or accuracy[after] >= level - ROUND_OFF or not fall:
        return Crossing(after, after, 0.0)
    return Crossing(after - 1, after, float((accuracy[after - 1] - level) / fall))


def levels_of(retrained: float, chance: float) -> Mapping[str, float]:
    """The levels at which methods and checkpoints are compared, by name."""
    return {"retrained": retrained, "ten-percent": 0.1, "chance": chance}


LEVELS = tuple(levels_of(0.0, 0.0))
