"""How many updates forgetting takes, and what it has cost by then."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import Cell, Columns, accuracy


def measure(cell: Cell) -> dict[str, float]:
    """For the targets ``chance`` (of K classes 1/K) and ``retrained`` (the reference's forget accuracy): ``updates_to_...``,
    ``retain_accuracy_at_...``, ``test_accuracy_at_...``, at the first evaluated update with forget accuracy ≤ target;
    NaN where it is never reached."""
    given = cell.retrained_forget_accuracy
    targets = {
        "chance": cell.chance,
        "retrained": accuracy(cell.retrained, "forget") if given is None else given,
    }
    return {
        key: value
        for name, target in targets.items()
        for key, value in at_target(cell.trajectory, name, target).items()
    }


def at_target(trajectory: Columns, name: str, target: float) -> dict[str, float]:
    """The first row with forget accuracy ≤ target; round-off in a share of N examples does not count against it.

    A model that has diverged (its loss is not finite) predicts nothing, and reaches no target.
    """
    accuracy, loss = (np.asarray(trajectory[f"forget_{key}"], np.float64) for key in ("accuracy", "loss"))
    reached = np.flatnonzero((accuracy <= target + 1e-9) & np.isfinite(loss))
    columns = {"updates_to": "update", "retain_accuracy_at": "retain_accuracy", "test_accuracy_at": "test_accuracy"}
    return {
        f"{key}_{name}": float(np.asarray(trajectory[column])[reached[0]]) if len(reached) else math.nan
        for key, column in columns.items()
    }
