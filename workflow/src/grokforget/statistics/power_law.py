"""A power law of times, of which some are only known to be longer than a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import log_ndtr

CONFIDENCE = 0.95
FEWEST = 3
"""Known times below which nothing is fitted: two lie on a line."""
MOST_STEPS = 200
STEEPEST = 1e6
"""1/σ, above which the known times lie on a line: then there is no spread to tell an interval by."""


@dataclass(frozen=True)
class PowerLaw:
    """time = ``time`` · (x / ``middle``)^-``exponent``, times a log-normal error of ``sd`` decades.

    Of ``exponent`` and ``time`` the ends of a 95 % interval. At ``middle`` the errors of the two are uncorrelated, so that log10
    of the time at any x has the half width √(half(time)² + (half(exponent) · log10(x / middle))²). All NaN where nothing could
    be fitted.
    """

    exponent: float = math.nan
    low: float = math.nan
    high: float = math.nan
    middle: float = math.nan
    time: float = math.nan
    time_low: float = math.nan
    time_high: float = math.nan
    sd: float = math.nan


def power_law(x: np.ndarray, times: np.ndarray, censored: np.ndarray) -> PowerLaw:
    """The most likely log10 t = c - a·log10 x + σ·ε, ε normal: an accelerated-failure-time model, log-normal (Kalbfleisch &
    Prentice 2002, The Statistical Analysis of Failure Time Data, section 3.3). Arrays (n,): ``x`` and ``times`` positive, float;
    ``censored``, bool: the time is at least the one given, which adds log P(T > t) to the likelihood in place of the density.

    In δ = (c, -a)/σ and h = 1/σ it is concave (Olsen 1978, Econometrica 46, 1211-1215), so Newton's steps find the maximum. The
    intervals are of the inverse Hessian there, with n/(n - 2) and Student's t of n - 2 degrees of freedom, n the number of known
    times: where none is censored they are those of ordinary least squares. NaN where fewer than ``FEWEST`` times, or the times of
    fewer than two values of x, are known, and where the known times lie on a line.
    """
    known = ~censored
    n = int(known.sum())
    if n < FEWEST or len(np.unique(x[known])) < 2:
        return PowerLaw()
    log_x, log_t = np.log10(x), np.log10(times)
    centre, level = float(log_x.mean()), float(log_t.mean())
    design = np.column_stack([-np.ones_like(log_x), -(log_x - centre), log_t - level])
    line, *_ = np.linalg.lstsq(-design[:, :2], design[:, 2], rcond=None)
    spread = float(np.std(design[:, 2] + design[:, :2] @ line))
    if spread * STEEPEST < 1:
        return PowerLaw()
    at = np.array([*(line / spread), 1 / spread])
    best, slope, curvature = likelihood(at, design, known)
    for _ in range(MOST_STEPS):
        step, share = -np.linalg.solve(curvature, slope), 1.0
        gain = float(slope @ step)
        if gain < 1e-18 * max(abs(best), 1):
            break
        while share > 1e-12 and not likelihood(at + share * step, design, known)[0] > best:
            share /= 2
        if share <= 1e-12 or (at + share * step)[2] > STEEPEST:
            break
        at = at + share * step
        best, slope, curvature = likelihood(at, design, known)
    if at[2] > STEEPEST / 10:
        return PowerLaw()
    constant, rate, sigma = at[0] / at[2], at[1] / at[2], 1 / at[2]
    of_line = np.column_stack([np.eye(2) * sigma, -at[:2] * sigma**2])
    covariance = of_line @ np.linalg.inv(-curvature) @ of_line.T * n / (n - 2)
    shift = -covariance[0, 1] / covariance[1, 1]
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 2))
    of_rate = quantile * math.sqrt(covariance[1, 1])
    of_time = quantile * math.sqrt(covariance[0, 0] - covariance[0, 1] ** 2 / covariance[1, 1])
    middle = level + constant + rate * shift
    return PowerLaw(
        exponent=-float(rate),
        low=-float(rate) - of_rate,
        high=-float(rate) + of_rate,
        middle=float(10 ** (centre + shift)),
        time=float(10**middle),
        time_low=float(10 ** (middle - of_time)),
        time_high=float(10 ** (middle + of_time)),
        sd=float(sigma),
    )


def likelihood(at: np.ndarray, design: np.ndarray, known: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log-likelihood, gradient (3,) and Hessian (3, 3) in (δ, h), but for a constant; ``design`` (n, 3) times (δ, h) is the
    standardised residual of each time. -inf where h is not positive."""
    if at[2] <= 0:
        return -math.inf, np.zeros(3), -np.eye(3)
    z = design @ at
    survival = log_ndtr(-z)
    hazard = np.exp(-(z**2) / 2 - survival) / math.sqrt(2 * math.pi)
    first = np.where(known, -z, -hazard)
    second = np.where(known, -1.0, -hazard * (hazard - z))
    n = int(known.sum())
    value = float(np.where(known, -(z**2) / 2, survival).sum()) + n * math.log(at[2])
    slope, curvature = design.T @ first, design.T @ (second[:, None] * design)
    slope[2] += n / at[2]
    curvature[2, 2] -= n / at[2] ** 2
    return value, slope, curvature
