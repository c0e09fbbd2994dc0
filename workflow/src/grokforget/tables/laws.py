"""Power laws of the times of grokking: in weight decay and learning rate, runs that did not grok counted as such."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from grokforget.statistics.power_law import power_law

LABELS = ("weight_decay", "learning_rate")
"""The labels that a clock's rate is: of these a power law is asked."""
QUANTITIES = {"t_grok": "", "gap": "", "t_grok_90": "_90", "t_grok_99": "_99"}
"""The times, and the ending of the column that says whether they are censored."""
NOT_FITTED = ("no memorisation", "diverged")
"""Kinds of curve of runs that ended for another reason than their budget: no time of theirs is merely late."""


def labels_of(table: pd.DataFrame) -> list[str]:
    """The columns of labels in ``runs`` or ``rates``: those behind ``grid``; none where there is no such column."""
    names = list(table.columns)
    return names[names.index("grid") + 1 :] if "grid" in names else []


def varied(rows: pd.DataFrame) -> list[str]:
    """The labels that have two values or more in these rows."""
    return [name for name in labels_of(rows) if len(rows[name].dropna().unique()) > 1]


def within(rows: pd.DataFrame, others: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows by the values of some labels, each with its values in words ("" where there are no such labels)."""
    if not others:
        return [("", rows)]
    found = rows.groupby(others, sort=True, dropna=False)
    return [
        (", ".join(f"{name} {told(one)}" for name, one in zip(others, key, strict=True)), part) for key, part in found
    ]


def told(value: object) -> str:
    """A label's value as it is read."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


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


def timed(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """``runs`` with ``time`` and ``state`` of one of ``QUANTITIES``: ``known``; ``censored``, the time being its budget;
    or ``excluded``, NaN."""
    ending = QUANTITIES[quantity]
    after = rows.t_mem if quantity == "gap" else 0.0
    kept = ~rows.kind.isin(NOT_FITTED)
    # What is not 0 or less: a gap is none where a run generalised with its training data.
    known = kept & (rows[quantity] > 0) & (rows.transition if not ending else rows.t_mem.notna())
    censored = kept & ~known & rows[f"censored{ending}"].astype(bool) & (rows.steps - after > 0)
    time = rows[quantity].where(known, (rows.steps - after).where(censored))
    state = np.select([known, censored], ["known", "censored"], "excluded")
    return rows.assign(time=time.astype("float64"), state=state)
