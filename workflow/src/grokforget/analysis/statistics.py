"""Means, spreads and paired differences over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

CELL = ["setting", "forget_set", "checkpoint", "method"]
CONFIDENCE = 0.95


def mean_and_spread(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """One row a (cell without its seed, measure): mean and standard deviation (n - 1) over the seeds where it is a
    number, and their count."""
    long = table.melt([*CELL, "seed"], list(measures), var_name="measure").astype({"value": "float64"})
    grouped = long.groupby([*CELL, "measure"], sort=True).value
    return grouped.agg(mean="mean", std="std", seeds="count").reset_index()


def paired_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % confidence interval by Student's t; the interval is NaN below two pairs."""
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    if n == 0:
        return math.nan, math.nan, math.nan
    mean = float(differences.mean())
    if n < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def paired_differences(
    table: pd.DataFrame, measures: Sequence[str], contrasts: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """For each contrast (a, b) of checkpoints a - b, paired by seed: a row a (setting, forget set, method, contrast,
    measure)."""
    keys = ["setting", "forget_set", "method"]
    long = table.melt([*keys, "checkpoint", "seed"], list(measures), var_name="measure").astype({"value": "float64"})
    wide = long.pivot(index=[*keys, "measure", "seed"], columns="checkpoint", values="value")
    rows = []
    for a, b in contrasts:
        if a not in wide or b not in wide:
            continue
        for labels, pairs in (wide[a] - wide[b]).groupby([*keys, "measure"], sort=True):
            mean, low, high = paired_interval(pairs.to_numpy())
            row = dict(zip([*keys, "measure"], labels, strict=True))
            rows.append(
                {
                    **row,
                    "contrast": f"{a} - {b}",
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "pairs": int(pairs.count()),
                }
            )
    columns = [*keys, "measure", "contrast", "difference", "low", "high", "pairs"]
    return pd.DataFrame(rows, columns=columns)
