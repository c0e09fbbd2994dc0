"""What the metrics of answers have in common: which tokens count, and means over what is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def without_end(asked: Tensor) -> Tensor:
    """An answer's own tokens, (N, T) bool: those that are ``asked`` for (N, T) bool but for each example's last, the end of the
    text, which memorisation is not measured by."""
    place = asked.cumsum(1)
    return asked & (place < place[:, -1:])


def mean(values: np.ndarray) -> float:
    """Over what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
