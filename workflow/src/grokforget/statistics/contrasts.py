"""Means, spreads and paired differences over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from grokforget.statistics.flags import flagged
from grokforget.statistics.pairs import KEYS, moments, paired_values
from grokforget.statistics.permutation import holm, sign_flip_tests
from grokforget.statistics.power import effect_sizes, seeds_for_effects
from grokforget.statistics.spread import variance_ratios

CELL = ["setting", "forget_set", "checkpoint", "method"]
CONFIDENCE = 0.95
NUMBERS = [
    *("difference", "low", "high", "p", "p_holm", "effect", "seeds_for_80_power"),
    *("variance_ratio", "variance_low", "variance_high"),
]
COUNTS = ["pairs", "left_out"]


def mean_and_spread(table: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """One row a (cell without its seed, measure): mean and standard deviation (n - 1) over the seeds where it is a
    number, their count, and how many rows are ``left_out`` for their flag."""
    table = table.assign(flagged=flagged(table))
    long = table.melt([*CELL, "seed", "flagged"], list(measures), var_name="measure").astype({"value": "float64"})
    grouped = long.assign(value=long.value.mask(long.flagged)).groupby([*CELL, "measure"], sort=True)
    counts = grouped.value.agg(mean="mean", std="std", seeds="count").assign(left_out=grouped.flagged.sum())
    return counts.reset_index()


def paired_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % confidence interval by Student's t; the interval is NaN below two pairs."""
    mean, low, high = paired_intervals(np.asarray(differences, np.float64)[None])
    return float(mean[0]), float(low[0]), float(high[0])


def paired_intervals(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``paired_interval`` of each row of ``differences`` (rows × seeds; NaN left out): mean, low, high, (rows,) each."""
    count, mean, spread = moments(differences)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(count - 1, 1)) * spread / np.sqrt(np.maximum(count, 1))
    return mean, mean - half, mean + half


def paired_differences(
    table: pd.DataFrame, measures: Sequence[str], contrasts: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """For each contrast (a, b) of checkpoints a - b, paired by seed: a row a (setting, forget set, method, measure,
    contrast), with columns

    - difference, low, high: mean difference and its 95 % interval by Student's t; pairs: how many; left_out: how many of
      which a side is flagged
    - p: exact two-sided sign-flip test (never below 2 / 2^pairs); p_holm: adjusted by Holm for the family of all rows of
      the same measure and contrast in this table, over settings, forget sets and methods, that have a p
    - effect: Hedges' g of the differences; seeds_for_80_power: the pairs needed to show it
    - variance_ratio, variance_low, variance_high: var(a)/var(b) and its 95 % interval by Pitman and Morgan
    """
    parts = []
    for pairs in paired_values(table, measures, contrasts):
        with np.errstate(invalid="ignore"):
            differences = pairs.first - pairs.second
        mean, low, high = paired_intervals(differences)
        effects = effect_sizes(differences)
        ratio, ratio_low, ratio_high, _ = variance_ratios(pairs.first, pairs.second)
        part = pairs.rows.assign(
            contrast=pairs.contrast,
            difference=mean,
            low=low,
            high=high,
            pairs=(~np.isnan(differences)).sum(1),
            left_out=pairs.left_out,
            p=sign_flip_tests(differences),
            effect=effects,
            seeds_for_80_power=seeds_for_effects(effects),
            variance_ratio=ratio,
            variance_low=ratio_low,
            variance_high=ratio_high,
        )
        parts.append(part.assign(p_holm=part.groupby("measure").p.transform(lambda p: holm(p.to_numpy()))))
    # With its types also where there is nothing to contrast.
    types = {**dict.fromkeys([*KEYS, "measure", "contrast"], "str"), **dict.fromkeys(NUMBERS, "float64")}
    types |= dict.fromkeys(COUNTS, "int64")
    columns = [*KEYS, "measure", "contrast", "difference", "low", "high", *COUNTS, *NUMBERS[3:]]
    table = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    return table.astype(types)
