"""What goes with an outcome over the units of some runs: rank correlations, plain and partial, resampled run by run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from grokforget.runtime.seeds import numpy_generator

DRAWS = 2000
"""Of the bootstrap."""
CONFIDENCE = 0.95
LEAST_SHARE = 0.5
"""Where fewer of the draws than this have a coefficient, there is no interval."""
COLLINEAR = 1e-9
"""A share of a column's variance that is left by the given columns and that is round-off."""
LEAST_VARIANCE = 0.1
"""Of the ranks of N ≥ 2 values that are not all alike; with one that differs it is (N - 1) / 4, and less is round-off."""
ALL = "all"
"""The setting of a row that is the mean over settings."""
Floats = NDArray[np.float64]


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Ranks of values (n,) where each stands there as often as its weight says, a row of ``weights`` (D, n) a draw, counts
    from 0: float64 (D, n). Ties share the mean of their ranks, a unit and its copies among them."""
    order = np.argsort(values, kind="stable")
    _, first, place = np.unique(values[order], return_index=True, return_inverse=True)
    total = np.add.reduceat(weights[:, order], first, axis=1)
    place = place[np.argsort(order, kind="stable")]
    ranks: Floats = (total.cumsum(1) - total + (total + 1) / 2)[:, place]
    return ranks


def rank_correlations(x: Floats, y: Floats, given: Floats, weights: Floats) -> Floats:
    """Spearman's rank correlation of x (n,) and y (n,), of each row of counts ``weights`` (D, n): float64 (D,).

    With columns in ``given`` (n, k) the partial one: the ranks of x and of y are regressed linearly on those of the given
    columns, with an intercept, and the residuals correlated (Pearson). NaN where x or y is constant or, but for
    round-off, a linear combination of what is given, and where fewer than k + 3 different units are drawn: k + 2 lie on a
    line whatever they are.
    """
    ranks = np.stack([weighted_ranks(column, weights) for column in (x, y, *given.T)], axis=1)
    share = (weights / weights.sum(1, keepdims=True))[:, None]
    centred = ranks - (ranks * share).sum(2, keepdims=True)
    scatter = (centred * share) @ centred.swapaxes(1, 2)
    variance = scatter.diagonal(axis1=1, axis2=2)
    varies = variance > LEAST_VARIANCE
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    whole = scatter * scale[:, :, None] * scale[:, None, :]
    rest = whole[:, :2, :2]
    if given.shape[1]:
        between = whole[:, :2, 2:]
        rest = rest - between @ np.linalg.pinv(whole[:, 2:, 2:], COLLINEAR, hermitian=True) @ between.swapaxes(1, 2)
    left = rest.diagonal(axis1=1, axis2=2)
    known = (left > COLLINEAR).all(1) & ((weights > 0).sum(1) >= given.shape[1] + 3)
    product = np.where(known, left[:, 0] * left[:, 1], 1.0)
    return np.where(known, np.clip(rest[:, 0, 1] / np.sqrt(product), -1, 1), np.nan)


def resampled(seeds: Sequence[int], stream: str, draws: int = DRAWS) -> NDArray[np.int64]:
    """How often each seed is drawn, (draws, seeds): as many as there are, with replacement. The stream depends on the name
    ``stream`` alone."""
    chosen = numpy_generator(0, "explanations", stream).integers(len(seeds), size=(draws, len(seeds)))
    return (chosen[:, :, None] == np.arange(len(seeds))).sum(1)


def coefficient(units: pd.DataFrame, x: str, y: str, given: Sequence[str], stream: str) -> tuple[float, Floats]:
    """Of the units (rows with ``seed`` and these columns, all known) the coefficient, and its bootstrap (``DRAWS``,): seeds
    are drawn with replacement, all units of a seed together. All draws are NaN where there is one seed."""
    seeds, of_seed = np.unique(units.seed.to_numpy(), return_inverse=True)
    columns = units[[x, y, *given]].to_numpy(np.float64)
    if not len(units):
        return float("nan"), np.full(DRAWS, np.nan)
    whole = np.ones((1, len(units)))
    estimate = rank_correlations(columns[:, 0], columns[:, 1], columns[:, 2:], whole).item()
    if len(seeds) < 2:
        return estimate, np.full(DRAWS, np.nan)
    # Few seeds have few different draws: each is computed once.
    different, place = np.unique(resampled(list(seeds), stream), axis=0, return_inverse=True)
    weights = different[:, of_seed].astype(np.float64)
    values = rank_correlations(columns[:, 0], columns[:, 1], columns[:, 2:], weights)
    return estimate, values[place.reshape(-1)]


def interval(draws: Floats) -> tuple[float, float]:
    """The 2.5th and the 97.5th percentile of the draws that have a coefficient; NaN where too few have one."""
    known = draws[np.isfinite(draws)]
    if len(known) < LEAST_SHARE * len(draws) or not len(known):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def explain(
    units: pd.DataFrame, outcome: str, asked: Mapping[str, Sequence[Sequence[str]]]
) -> Iterator[dict[str, Any]]:
    """A row a (setting, predictor, what is given), and with the setting ``ALL`` the mean of the settings' coefficients.

    ``units``: setting, seed, ``outcome``, and a column a predictor, NaN where it was not measured. ``asked``: by predictor
    the columns that are given, one coefficient each. ``n`` and ``seeds`` are those of the units that the coefficient is
    of, of all settings those of the settings that have one; ``unmeasured`` counts the units with an outcome that are not among
    them.
    """
    settings = sorted(units.setting.unique())
    known = units.dropna(subset=[outcome])
    for x, choices in asked.items():
        for given in choices:
            found = []
            counts = {"n": 0, "seeds": 0, "unmeasured": 0}
            for setting in settings:
                here = known[known.setting == setting]
                measured = here.dropna(subset=[x, *given])
                estimate, draws = coefficient(measured, x, outcome, given, setting)
                own = {"n": len(measured), "seeds": measured.seed.nunique(), "unmeasured": len(here) - len(measured)}
                if np.isfinite(estimate):
                    found.append((estimate, draws))
                    counts = {name: counts[name] + count for name, count in own.items()}
                else:
                    counts["unmeasured"] += len(here)
                yield _row(setting, x, given, estimate, draws, own)
            mean = float(np.mean([estimate for estimate, _ in found])) if found else float("nan")
            draws = np.mean([draws for _, draws in found], axis=0) if found else np.full(DRAWS, np.nan)
            yield _row(ALL, x, given, mean, draws, counts)


def _row(
    setting: str, x: str, given: Sequence[str], estimate: float, draws: Floats, counts: Mapping[str, int]
) -> dict[str, Any]:
    low, high = interval(draws)
    named = {"setting": setting, "predictor": x, "given": ", ".join(given)}
    return {**named, "correlation": estimate, "low": low, "high": high, **counts}
