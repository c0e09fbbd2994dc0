"""Two checkpoints' values side by side, paired by seed, and their moments: what every statistic of a contrast starts from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grokforget.statistics.flags import flagged

KEYS = ["setting", "forget_set", "method"]
# Numbers that differ by less than this share of their size are told apart by rounding alone.
ROUND_OFF = 1e-9


@dataclass(frozen=True)
class Pairs:
    """One contrast. ``rows`` names the rows (columns ``KEYS`` and measure), sorted; ``first`` and ``second`` are the
    values of its two checkpoints, float64, rows × seeds in the same order of seeds, NaN where there is none or the row is
    flagged; ``left_out`` (rows,) is how many pairs have a flag on a side."""

    contrast: str
    rows: pd.DataFrame
    first: np.ndarray
    second: np.ndarray
    left_out: np.ndarray


def paired_values(
    table: pd.DataFrame, measures: Sequence[str], contrasts: Sequence[tuple[str, str]]
) -> Iterator[Pairs]:
    """The pairs of each contrast (a, b) of checkpoints of which the table (a row a cell, a column a measure) has both;
    ``ValueError`` if it has a cell twice."""
    table = table.assign(flagged=flagged(table))
    long = table.melt([*KEYS, "checkpoint", "seed", "flagged"], list(measures), var_name="measure")
    long = long.assign(value=long.value.astype("float64").mask(long.flagged))
    wide = long.pivot(index=[*KEYS, "measure", "seed"], columns="checkpoint", values=["value", "flagged"])
    for a, b in contrasts:
        if a not in wide["value"] or b not in wide["value"]:
            continue
        first, second = (wide["value", checkpoint].astype("float64").unstack("seed") for checkpoint in (a, b))
        either = wide["flagged"][[a, b]].eq(True).any(axis=1)
        left_out = either.unstack("seed", fill_value=False).to_numpy().sum(1)
        yield Pairs(f"{a} - {b}", first.index.to_frame(index=False), first.to_numpy(), second.to_numpy(), left_out)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row of ``values`` (rows × seeds, NaN left out): count, mean (NaN of none) and standard deviation (n - 1; NaN
    below two). A spread within rounding of the row's largest value is 0; with an infinite value it is NaN."""
    known = ~np.isnan(values)
    count = known.sum(1)
    size = np.abs(np.where(known, values, 0)).max(1, initial=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0).sum(1) / count
        deviations = np.where(known, values - mean[:, None], 0)
        spread = np.sqrt((deviations**2).sum(1) / (count - 1))
    spread[count < 2] = np.nan
    spread[spread <= ROUND_OFF * size] = 0
    spread[np.isinf(size)] = np.nan
    return count, mean, spread
