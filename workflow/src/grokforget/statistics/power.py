"""Effect size of paired differences, and the number of seeds that would show it."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import special, stats

from grokforget.statistics.pairs import moments

# An answer of so many seeds means "so many or more".
MOST_SEEDS = 1000
# An effect that any number of pairs from ``least_seeds`` on shows.
HUGE = 10.0


def effect_size(differences: np.ndarray) -> float:
    """Hedges' g of paired ``differences`` (n,): see ``effect_sizes``."""
    return float(effect_sizes(np.asarray(differences, np.float64)[None])[0])


def effect_sizes(differences: np.ndarray) -> np.ndarray:
    """Hedges' g of each row of paired ``differences`` (rows × seeds; NaN left out): float64 (rows,).

    g = J(n - 1)·d_z, with d_z = mean / standard deviation (n - 1) of the differences (Cohen 1988, section 2.3.5), and
    J(m) = Γ(m/2) / (√(m/2)·Γ((m - 1)/2)) (Hedges 1981, eq. 6e), which makes it unbiased: without J it would be 1.77 times
    too large on average at three seeds. Standardised by the differences, not by the mean spread of the two checkpoints
    (g_av), because the interval, the test and the seeds needed follow from it; pairs that go together make it larger
    than an effect from unpaired data, so it is not to be compared with one.

    Below three pairs the expectation of d_z does not exist: NaN. Where all differences are the same it is infinite, with
    their sign, and NaN if they are 0.
    """
    count, mean, spread = moments(differences)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= 3, _correction(count - 1) * mean / spread, np.nan)


def _correction(m: np.ndarray) -> np.ndarray:
    m = np.maximum(m, 2)
    return np.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2)) / np.sqrt(m / 2)


def paired_t_power(effect: np.ndarray, n: np.ndarray, level: float = 0.05) -> np.ndarray:
    """Power of the two-sided paired t-test with ``n`` (≥ 2) pairs at a true ``effect`` d_z (arrays that broadcast):
    P(|t'| > t(1 - level/2, n - 1)) for t' non-central t with n - 1 degrees of freedom and non-centrality √n·d_z
    (Cohen 1988, section 2.3.5; Johnson, Kotz & Balakrishnan 1995, chapter 31)."""
    critical = stats.t.isf(level / 2, n - 1)
    centre = np.sqrt(n) * np.abs(effect)
    # P(t' < -t) as P(t' > t) of the mirror image: scipy's cdf is NaN that far out, its sf is not.
    return stats.nct.sf(critical, n - 1, centre) + stats.nct.sf(critical, n - 1, -centre)


def least_seeds(level: float = 0.05) -> int:
    """The fewest pairs with which the exact sign-flip test can reject at all: the smallest n with 2 / 2^n ≤ ``level``."""
    return math.ceil(1 - math.log2(level))


def seeds_for_power(differences: np.ndarray, power: float = 0.8, level: float = 0.05) -> float:
    """Seeds needed to show the effect observed in paired ``differences`` (n,): ``seeds_for_effects`` of their
    ``effect_size``."""
    return float(seeds_for_effects(np.array([effect_size(differences)]), power, level)[0])


def seeds_for_effects(effects: np.ndarray, power: float = 0.8, level: float = 0.05) -> np.ndarray:
    """For each true effect d_z (any shape) the smallest number of pairs with which the two-sided paired t-test reaches
    ``power`` at ``level``, and at least as many as let the exact sign-flip test reject: float64, whole numbers, at most
    ``MOST_SEEDS``, which stands for "so many or more"; NaN where the effect is 0 or NaN.

    The effect of a few seeds is itself uncertain, and so is this number: it is for planning, no result.
    """
    sizes = np.abs(np.asarray(effects, np.float64))
    shown = _shown_by(power, level)
    # Effects shown fall with the seeds: as many numbers of seeds are too few as show only larger ones.
    too_few = len(shown) - np.searchsorted(shown[::-1], sizes, side="right")
    return np.where(sizes > 0, np.minimum(least_seeds(level) + too_few, MOST_SEEDS), np.nan)


@cache
def _shown_by(power: float, level: float) -> np.ndarray:
    """The effect that has ``power``, for each number of seeds up to the most, by bisection: solved for the numbers of seeds
    rather than for the effects, of which a table has tens of thousands."""
    seeds = np.arange(least_seeds(level), MOST_SEEDS + 1)
    low, high = np.zeros(len(seeds)), np.full(len(seeds), HUGE)
    for _ in range(50):
        middle = (low + high) / 2
        enough = paired_t_power(middle, seeds, level) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
