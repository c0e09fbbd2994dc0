"""Forget quality: whether truth ratios on the forget set are those of a model that never saw it (Maini et al. 2024, arXiv
2401.06121, section 2.2.1)."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import Cell
from grokforget.metrics.language.truth_ratio import ratios


def forget_quality(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[float, float]:
    """p-value and statistic of the two-sample Kolmogorov-Smirnov test on truth ratios (n,), (m,): a p near 1 says that they
    may well be of one distribution. It is the same of R and of 1 / R. Those that are not known are left out; NaN where none is.
    """
    from scipy.stats import ks_2samp

    samples = [values[~np.isnan(values)] for values in (unlearned, retrained)]
    if not all(map(len, samples)):
        return math.nan, math.nan
    found = ks_2samp(*samples)
    return float(found.pvalue), float(found.statistic)


def measure(cell: Cell, *, mean: str) -> dict[str, float]:
    """``forget_quality``, the p-value against the retrained model at the same checkpoint, and ``forget_quality_distance``, the
    largest difference of the two distribution functions, which says something of a few dozen pairs too, where p says little."""
    p, distance = forget_quality(*(ratios(outputs, "forget", mean) for outputs in (cell.outputs, cell.retrained)))
    return {"forget_quality": p, "forget_quality_distance": distance}
