"""Runs by the labels of their grids, and their times: known, censored, or none."""

from __future__ import annotations

import numpy as np
import pandas as pd

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
    return [name for name in labels_of(rows) if len([one for one in rows[name].dropna().unique() if one != ""]) > 1]


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
