"""Accuracies and losses after unlearning."""

from __future__ import annotations

from grokforget.metrics.base import SPLITS, Cell, accuracy


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_accuracy`` in [0, 1], ``{split}_loss`` in nats, and ``{split}_accuracy_drop`` = before - after."""
    columns: dict[str, float] = {}
    for split in SPLITS:
        after = accuracy(cell.outputs, split)
        columns[f"{split}_accuracy"] = after
        columns[f"{split}_loss"] = cell.outputs.mean(split, "loss")
        columns[f"{split}_accuracy_drop"] = accuracy(cell.original, split) - after
    return columns
