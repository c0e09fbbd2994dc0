"""What becomes of the examples that a request to forget is wrong about."""

from __future__ import annotations

from grokforget.metrics.base import Cell, accuracy


def measure(cell: Cell) -> dict[str, float]:
    """``missed_accuracy`` on what should have been forgotten and was not asked for, ``mistaken_accuracy`` on what was asked
    for and should have been retained, in [0, 1]; NaN where the request is right.

    The missed are part of the retain set and the mistaken part of the forget set, whose accuracies include them.
    """
    return {f"{split}_accuracy": accuracy(cell.outputs, split) for split in ("missed", "mistaken")}
