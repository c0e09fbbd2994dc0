"""How many updates forgetting takes, and what it has cost by then."""

from __future__ import annotations

import math

import pandas as pd

from grokforget.metrics.base import Cell, accuracy


def measure(cell: Cell) -> dict[str, float]:
    """For the targets ``chance`` (1/K) and ``retrained`` (the reference's forget accuracy): ``updates_to_...``,
    ``retain_accuracy_at_...``, ``test_accuracy_at_...``, at the first evaluated update with forget accuracy ≤ target;
    NaN where it is never reached."""
    targets = {"chance": 1 / cell.n_classes, "retrained": accuracy(cell.retrained, "forget")}
    return {
        key: value
        for name, target in targets.items()
        for key, value in at_target(cell.trajectory, name, target).items()
    }


def at_target(trajectory: pd.DataFrame, name: str, target: float) -> dict[str, float]:
    """The first row with forget accuracy ≤ target; round-off in a share of N examples does not count against it.

    A model that has diverged (its loss is no number) predicts nothing, and reaches no target.
    """
    reached = trajectory[(trajectory.forget_accuracy <= target + 1e-9) & trajectory.forget_loss.notna()]
    row = reached.iloc[0] if len(reached) else None
    return {
        f"updates_to_{name}": math.nan if row is None else float(row["update"]),
        f"retain_accuracy_at_{name}": math.nan if row is None else float(row.retain_accuracy),
        f"test_accuracy_at_{name}": math.nan if row is None else float(row.test_accuracy),
    }
