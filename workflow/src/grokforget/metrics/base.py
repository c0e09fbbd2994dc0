"""What a metric is given: everything that is known of one cell, read from files."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SPLITS = ("forget", "retain", "test")
Columns = Mapping[str, Any]
"""Columns of one length by name: arrays, or a pandas table."""


class Outputs:
    """What a model says of every example, split by split.

    ``columns`` has one row an example: split, label, loss (nats), correct, and what else is said of it, of which the numbers
    are read. A model with a loss that is not finite has diverged: then every number of it but the labels, on every split, is
    NaN, and so is what a metric makes of them.
    """

    def __init__(self, columns: Columns) -> None:
        split = np.asarray(columns["split"])
        given = {str(name): np.asarray(columns[name]) for name in columns}
        self._columns = {
            name: values if name == "label" else values.astype(np.float64)
            for name, values in given.items()
            if values.dtype.kind in "biuf"
        }
        self.diverged = not np.isfinite(self._columns["loss"]).all()
        if self.diverged:
            self._columns = self.unknown()._columns
        self._rows = {str(name): np.flatnonzero(split == name) for name in dict.fromkeys(split.tolist())}

    def unknown(self) -> Outputs:
        """The same of a model of which nothing is known: what is measured against it is NaN."""
        other = copy.copy(self)
        other._columns = {
            name: values if name == "label" else np.full_like(values, math.nan)
            for name, values in self._columns.items()
        }
        return other

    def column(self, split: str, name: str) -> np.ndarray:
        """``label``, or what else is said as float64: ``loss``, ``correct`` (0, 1, or a share). Of a split's examples in their
        order; empty where there is no such split."""
        return self._columns[name][self._rows.get(split, [])]

    def mean(self, split: str, name: str) -> float:
        """Over a split's examples; NaN where there is none."""
        values = self.column(split, name)
        return float(values.mean()) if len(values) else math.nan

    def known(self, split: str, name: str) -> np.ndarray:
        """Those values of a split that are numbers: of what is not said of every example."""
        values = self.column(split, name)
        return values[~np.isnan(values)]


@dataclass(frozen=True)
class Cell:
    """One (setting, seed, forget set, checkpoint, method).

    ``outputs`` are those of the model after unlearning, with a second row, in the split ``missed`` or ``mistaken``, of every
    example that the request is wrong about; ``original`` and ``retrained`` are the same of the model before it and of the
    retrained reference. ``chance`` is the accuracy of guessing. ``trajectory`` has one row an evaluated update; of a model that
    has diverged it is cut to none, so that all metrics of it are NaN. Where its rows are of a part of the examples,
    ``retrained_forget_accuracy`` is the retrained reference's on the same part; None: it is that of all. Tables may be given for
    outputs.
    """

    outputs: Outputs
    original: Outputs
    retrained: Outputs
    trajectory: Columns
    chance: float
    seed: int
    retrained_forget_accuracy: float | None = None

    def __post_init__(self) -> None:
        for name in ("outputs", "original", "retrained"):
            given: Outputs | Columns = getattr(self, name)
            object.__setattr__(self, name, given if isinstance(given, Outputs) else Outputs(given))
        rows = slice(0) if self.outputs.diverged else slice(None)
        arrays = {str(name): np.asarray(self.trajectory[name])[rows] for name in self.trajectory}
        object.__setattr__(self, "trajectory", arrays)


def accuracy(outputs: Outputs, split: str) -> float:
    """Share of right predictions on a split, in [0, 1]."""
    return outputs.mean(split, "correct")


def accuracies(outputs: Outputs) -> dict[str, float]:
    """Accuracy by split."""
    return {split: accuracy(outputs, split) for split in SPLITS}
