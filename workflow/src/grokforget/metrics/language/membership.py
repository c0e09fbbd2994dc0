"""Membership inference from what a model says of an answer's tokens, without shadow models."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import Cell
from grokforget.metrics.language.zlib_ratio import zlib_ratio


def measure(cell: Cell) -> dict[str, float]:
    """``loss_auc``, ``min_k_auc``, ``min_k_plus_plus_auc`` and ``zlib_auc``: area under the ROC curve of the score by which
    forgotten pairs (members) are told from held-out ones of the same authors, the split ``test``. 1 where all of them are told
    apart, .5 where none are, below it where the forgotten ones are the less expected; the ideal is the retrained model's.
    """
    scores = {
        split: {
            "loss": cell.outputs.column(split, "loss"),
            "min_k": cell.outputs.column(split, "min_k"),
            "min_k_plus_plus": cell.outputs.column(split, "min_k_plus_plus"),
            "zlib": zlib_ratio(cell.outputs.column(split, "loss"), cell.outputs.column(split, "compressed_bytes")),
        }
        for split in ("forget", "test")
    }
    return {f"{name}_auc": area(scores["forget"][name], scores["test"][name]) for name in scores["forget"]}


def area(members: np.ndarray, others: np.ndarray) -> float:
    """Share of the pairs of a member and another in which the member has the lower score, ties by half; NaN where either is
    without one, or a score is not known."""
    if not len(members) or not len(others) or np.isnan([members.sum(), others.sum()]).any():
        return math.nan
    members = np.sort(members)
    below, up_to = (np.searchsorted(members, others, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(members)))
