"""Means and paired differences over seeds, of every measure of the cells."""

from __future__ import annotations

import pandas as pd

from grokforget.statistics.contrasts import CELL, mean_and_spread, paired_differences
from grokforget.statistics.flags import FLAG, REFERENCE_FLAG

CONTRASTS = (("grokked", "early"), ("grokked", "memorised"))


def summary(unlearning: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds (``contrasts.mean_and_spread``)."""
    return mean_and_spread(unlearning, measures(unlearning))


def contrasts(unlearning: pd.DataFrame) -> pd.DataFrame:
    """Paired differences with their intervals, tests, effects and ratios of variances (``contrasts.paired_differences``)."""
    return paired_differences(unlearning, measures(unlearning), CONTRASTS)


def measures(unlearning: pd.DataFrame) -> list[str]:
    """The columns that say neither which cell a row is nor whether it counts."""
    return [name for name in unlearning.columns if name not in (*CELL, "seed", FLAG, REFERENCE_FLAG)]
