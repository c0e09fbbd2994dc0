"""Power laws of the times of grokking: in weight decay and learning rate, runs that did not grok counted as such."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from grokforget.statistics.power_law import power_law
from grokforget.statistics.timed_runs import QUANTITIES, timed, varied, within

LABELS = ("weight_decay", "learning_rate")
"""The labels that a clock's rate is: of these a power law is asked."""


def laws(runs: pd.DataFrame) -> pd.DataFrame:
    """Of every grid of ``runs`` in which one of ``LABELS`` is varied, and of each choice of its other labels, a row a quantity:
    the ``PowerLaw`` of the time in that label, of the runs on the full train set.

    ``smallest`` to ``largest`` is the range: the positive values of the label at which at least one run grokked. In it ``runs``
    runs were fitted, of which ``censored`` ended before (their time is at least their ``steps``; for the gap, less t_mem).
    ``excluded`` of the range were not: they never fitted their training data, diverged, or generalised with them. ``outside``
    runs have values of the label outside the range.
    """
    rows: list[dict[str, Any]] = []
    runs = runs[(runs.train_set == "full") & (runs.grid != "")]
    for grid, of_grid in runs.groupby("grid", sort=True):
        names = varied(of_grid)
        for label in (name for name in LABELS if name in names and of_grid[name].dtype == "float64"):
            for words, part in within(of_grid, [name for name in names if name != label]):
                for quantity in QUANTITIES:
                    rows.append(
                        {"grid": grid, "within": words, "label": label, "quantity": quantity}
                        | law(part, label, quantity)
                    )
    names = [
        "grid",
        "within",
        "label",
        "quantity",
        *law(runs.iloc[:0].assign(weight_decay=0.0), "weight_decay", "t_grok"),
    ]
    return pd.DataFrame(rows, columns=names)


def law(rows: pd.DataFrame, label: str, quantity: str) -> dict[str, Any]:
    """The law of one quantity in some runs, and how many of them it is of."""
    part = timed(rows, quantity)
    grokked = part[(part[label] > 0) & (part.state == "known")]
    smallest, largest = (float(grokked[label].agg(end)) if len(grokked) else np.nan for end in ("min", "max"))
    inside = part[part[label].isin(grokked[label])]
    fitted = inside[inside.state != "excluded"]
    censored = (fitted.state == "censored").to_numpy()
    found = power_law(fitted[label].to_numpy("float64"), fitted.time.to_numpy("float64"), censored)
    return {
        **asdict(found),
        "smallest": smallest,
        "largest": largest,
        "runs": len(fitted),
        "censored": int(censored.sum()),
        "excluded": len(inside) - len(fitted),
        "outside": len(part) - len(inside),
    }
