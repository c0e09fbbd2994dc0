"""What a measure is given: everything that is known of one cell, read from files."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

SPLITS = ("forget", "retain", "test")


@dataclass(frozen=True)
class Cell:
    """One (setting, seed, forget set, checkpoint, method).

    ``outputs`` has one row an example (split, label, loss, correct) of the model after unlearning, and a second one, in the
    split ``missed`` or ``mistaken``, of those that the request is wrong about; ``original`` and ``retrained`` are the same
    of the model before it and of the retrained reference. ``trajectory`` has one row an evaluated update.
    """

    outputs: pd.DataFrame
    original: pd.DataFrame
    retrained: pd.DataFrame
    trajectory: pd.DataFrame
    n_classes: int
    seed: int


def accuracy(outputs: pd.DataFrame, split: str) -> float:
    """Share of right predictions on a split, in [0, 1]."""
    return float(outputs.loc[outputs.split == split, "correct"].mean())


def accuracies(outputs: pd.DataFrame) -> dict[str, float]:
    """Accuracy by split."""
    return {split: accuracy(outputs, split) for split in SPLITS}
