"""Sign-flip tests of paired differences, and the correction for the number of them."""

from __future__ import annotations

import numpy as np

from grokforget.statistics.pairs import ROUND_OFF

# Up to so many pairs all patterns lie in memory at once; up to so many they are counted; beyond, so many are drawn.
DIRECT, EXACT, DRAWS = 12, 40, 99_999
AT_ONCE = 2**20


def sign_flip_test(differences: np.ndarray, blocks: np.ndarray | None = None) -> float:
    """Two-sided p-value of the mean of paired ``differences`` (n,) when nothing but chance decides each one's sign.

    Statistic: T = mean of d_i; with ``blocks`` (n,), a label (the setting, say) a pair, the mean over blocks of the
    blocks' means. p is the share of the 2^n patterns of signs s for which |T(s·d)| ≥ |T(d)|: exact whatever the
    distribution, as long as each pair's difference is symmetric about 0 under the null and pairs are independent: there
    is to be one difference a (setting, seed), for cells that share their models are not. Patterns are enumerated, or,
    above 12 pairs, counted by sorting the sums of either half, up to 40 pairs; above, p = (1 + count) / (1 + draws)
    over 99,999 random patterns of a fixed generator (Phipson & Smyth 2010, eq. 2). The smallest p possible is 2 / 2^n.

    NaN pairs are left out; without any, or with an infinite one, p is NaN; it is 1 where every difference is 0. A sum
    within rounding of the observed one counts as a tie. Sources: Fisher 1935, The Design of Experiments, section 21;
    Pesarin & Salmaso 2010, Permutation Tests for Complex Data, section 1.9.
    """
    differences = np.asarray(differences, np.float64)
    known = ~np.isnan(differences)
    labels = np.zeros(len(differences), int) if blocks is None else np.asarray(blocks)
    _, which, counts = np.unique(labels[known], return_inverse=True, return_counts=True)
    # T is the sum of these over the number of blocks, which is the same for every pattern.
    return float(_p_values((differences[known] / counts[which])[None])[0])


def sign_flip_tests(differences: np.ndarray) -> np.ndarray:
    """``sign_flip_test`` of each row of ``differences`` (rows × seeds): float64 (rows,)."""
    p = np.full(len(differences), np.nan)
    known = ~np.isnan(differences)
    counts = known.sum(1)
    for n in np.unique(counts):
        rows = np.flatnonzero(counts == n)
        p[rows] = _p_values(differences[rows][known[rows]].reshape(len(rows), n))
    return p


def _p_values(terms: np.ndarray) -> np.ndarray:
    """Of each row, rows × n, the share of patterns of signs whose sum is as far from 0 as the row's own."""
    rows, n = terms.shape
    p = np.full(rows, np.nan)
    finite = np.flatnonzero(np.isfinite(terms).all(1))
    if n == 0:
        return p
    share = _enumerated if n <= DIRECT else _counted if n <= EXACT else _drawn
    reach = np.abs(terms[finite].sum(1)) - ROUND_OFF * np.abs(terms[finite]).sum(1)
    step = max(1, AT_ONCE >> n) if n <= DIRECT else 1
    for start in range(0, len(finite), step):
        part = slice(start, start + step)
        p[finite[part]] = share(terms[finite[part]], reach[part])
    return p


def _sums(terms: np.ndarray) -> np.ndarray:
    """The sums under all patterns of signs: rows × n to rows × 2^n."""
    sums = np.zeros((len(terms), 1))
    for term in terms.T[..., None]:
        sums = np.concatenate([sums + term, sums - term], 1)
    return sums


def _enumerated(terms: np.ndarray, reach: np.ndarray) -> np.ndarray:
    return (np.abs(_sums(terms)) >= reach[:, None]).mean(1)


def _counted(terms: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """One row. A pattern is one of the left half with one of the right: for each left sum, a search among the sorted
    right ones counts the patterns that reach; as many lie on the other side of 0."""
    if reach[0] <= 0:
        return np.ones(1)
    n = terms.shape[1]
    left, right = _sums(terms[:, : n // 2])[0], np.sort(_sums(terms[:, n // 2 :])[0])
    short = np.searchsorted(right, reach[0] - np.sort(left), side="left")
    return np.array([2 * (len(left) * len(right) - int(short.sum())) / 2**n])


def _drawn(terms: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """One row."""
    generator = np.random.default_rng(0)
    n = terms.shape[1]
    step = max(1, AT_ONCE // n)
    count = 0
    for start in range(0, DRAWS, step):
        signs = generator.integers(0, 2, (min(step, DRAWS - start), n)) * 2 - 1
        count += int((np.abs(signs @ terms[0]) >= reach[0]).sum())
    return np.array([(1 + count) / (1 + DRAWS)])


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values of a family of m tests, same shape (m,), by Holm's step-down procedure: the i-th smallest becomes
    max over j ≤ i of min(1, (m - j + 1)·p_(j)), so that "adjusted ≤ α" has a family-wise error of at most α whatever
    the dependence between the tests. NaN is no test: it is not counted in m and stays NaN. Source: Holm 1979,
    Scandinavian Journal of Statistics 6, 65-70."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted
