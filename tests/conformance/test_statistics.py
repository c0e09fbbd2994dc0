"""Tests, effects, powers and spreads against scipy, statsmodels, brute force and simulated nulls."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from grokforget.statistics.contrasts import paired_differences, paired_interval
from grokforget.statistics.pairs import moments
from grokforget.statistics.permutation import holm, sign_flip_test, sign_flip_tests
from grokforget.statistics.power import (
    MOST_SEEDS,
    effect_size,
    effect_sizes,
    least_seeds,
    paired_t_power,
    seeds_for_effects,
    seeds_for_power,
)
from grokforget.statistics.spread import pooled_sd_ratio, variance_ratios


def null(kind: str, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Differences symmetric about 0: normal, or of two independent skewed values, mostly small and rarely large."""
    if kind == "normal":
        return generator.normal(size=shape)
    return generator.exponential(size=shape) ** 2 - generator.exponential(size=shape) ** 2


def error(rate: float, n: int) -> float:
    """Four standard errors of a rate seen in ``n`` simulations."""
    return 4 * math.sqrt(rate * (1 - rate) / n)


# sign flips


def by_patterns(differences: np.ndarray, blocks: np.ndarray | None = None) -> float:
    """The definition: every pattern of signs, one at a time."""

    def statistic(values: np.ndarray) -> float:
        labels = np.zeros(len(values)) if blocks is None else blocks
        return abs(np.mean([values[labels == label].mean() for label in set(labels.tolist())]))

    seen = statistic(differences) - 1e-12
    return float(
        np.mean([statistic(differences * signs) >= seen for signs in product([1, -1], repeat=len(differences))])
    )


@pytest.mark.parametrize("n", range(2, 12))
def test_sign_flips_are_scipys_permutation_test(n: int) -> None:
    for differences in np.random.default_rng(n).normal(0.5, 1, (3, n)):
        scipys = stats.permutation_test(
            (differences, np.zeros(n)),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf,
        )
        assert sign_flip_test(differences) == pytest.approx(scipys.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [11, 12, 13])
def test_sign_flips_are_exact_where_halves_are_counted(n: int) -> None:
    # 12 | 13 is where counting takes over; small whole numbers make many ties.
    generator = np.random.default_rng(n)
    for differences in (generator.normal(0.4, 1, n), generator.integers(-2, 4, n).astype(float)):
        assert sign_flip_test(differences) == pytest.approx(by_patterns(differences), abs=1e-12)


@pytest.mark.parametrize("n", [10, 13, 20, 30, 31, 40])
@pytest.mark.parametrize("surplus", [0, 4, 10])
def test_sign_flips_of_equal_sizes_are_the_binomial_test(n: int, surplus: int) -> None:
    positive = (n + surplus) // 2
    differences = np.where(np.arange(n) < positive, 0.7, -0.7)
    assert sign_flip_test(differences) == pytest.approx(stats.binomtest(positive, n).pvalue, rel=1e-9)


def test_sign_flips_beyond_counting_are_drawn_and_repeat() -> None:
    differences = np.where(np.arange(60) < 37, 1.0, -1.0)
    exact = stats.binomtest(37, 60).pvalue
    p = sign_flip_test(differences)
    assert p == pytest.approx(exact, abs=error(exact, 99_999))
    assert p == sign_flip_test(differences)
    # Never 0: the pattern seen counts among those drawn.
    assert sign_flip_test(np.ones(60)) == 1 / 100_000


def test_sign_flips_by_hand() -> None:
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip_test(np.array([1.0, 2.0, -3.0])) == 1
    # |T| ≥ 4 for +++, ++- of (1, 2, 3) with -1: -1+2+3 = 4; ±6 and ±4.
    assert sign_flip_test(np.array([-1.0, 2.0, 3.0])) == 4 / 8
    assert sign_flip_test(np.array([2.0])) == 1
    assert sign_flip_test(np.array([0.0, 0.0, 0.0])) == 1
    assert sign_flip_test(np.zeros(15)) == 1
    assert sign_flip_test(np.array([1.0, np.nan, 2.0, 3.0])) == 2 / 8
    assert math.isnan(sign_flip_test(np.array([])))
    assert math.isnan(sign_flip_test(np.array([np.nan])))
    assert math.isnan(sign_flip_test(np.array([1.0, np.inf])))


def test_sums_apart_by_rounding_are_ties() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17, and 0 for other patterns: as whole numbers it is 1.
    assert sign_flip_test(np.array([0.1, 0.2, -0.3])) == 1
    assert sign_flip_test(np.array([0.3, 0.1 + 0.2, -0.3])) == sign_flip_test(np.array([1.0, 1.0, -1.0])) == 1
    tenths = np.array([3, 1, 2, -6, 4, 7, -5, 2, 8, 1, -3, 6, 9, 2])
    for n in (8, 13):
        assert sign_flip_test(tenths[:n] * 0.1) == by_patterns(tenths[:n].astype(float))


def test_blocks_count_the_same_whatever_their_size() -> None:
    differences = np.array([1.0, 2.0, 4.0, -3.0, 10.0, 0.5, np.nan])
    blocks = np.array(["a", "a", "a", "b", "b", "c", "c"])
    whole = ~np.isnan(differences)
    assert sign_flip_test(differences, blocks) == pytest.approx(by_patterns(differences[whole], blocks[whole]))
    # The plain mean orders the patterns otherwise.
    assert sign_flip_test(differences, blocks) != sign_flip_test(differences)
    assert sign_flip_test(differences, np.zeros(7)) == sign_flip_test(differences)


def test_sign_flips_of_rows_are_those_of_each() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(0.3, 1, (200, 14))
    rows[generator.random(rows.shape) < generator.random((200, 1))] = np.nan
    rows[0] = np.nan
    rows[1, 3] = np.inf
    np.testing.assert_array_equal(sign_flip_tests(rows), [sign_flip_test(row) for row in rows])
    assert sign_flip_tests(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("kind", ["normal", "skewed"])
@pytest.mark.parametrize(("n", "attainable"), [(3, 0), (5, 0), (6, 2 / 64), (8, 12 / 256)])
def test_sign_flips_reject_as_many_nulls_as_they_can_of_five_per_cent(kind: str, n: int, attainable: float) -> None:
    p = sign_flip_tests(null(kind, np.random.default_rng(n), (20_000, n)))
    # p takes whole multiples of 2 / 2^n: the largest of them up to 0.05 is the rate.
    assert abs((p <= 0.05).mean() - attainable) <= error(attainable, len(p))


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_pooled_sign_flips_reject_at_most_five_per_cent_of_nulls(kind: str) -> None:
    generator = np.random.default_rng(1)
    blocks = np.repeat([0, 1, 2, 3], [3, 3, 3, 1])
    # Settings differ in scale, as those of real studies do.
    studies = null(kind, generator, (2000, 10)) * np.array([0.1, 1, 5, 2])[blocks]
    rate = np.mean([sign_flip_test(study, blocks) <= 0.05 for study in studies])
    assert abs(rate - 50 / 1024) <= error(0.05, len(studies))


# Holm


def test_holm_is_statsmodels() -> None:
    # statsmodels 0.15.0, stats.multitest.multipletests(p, method="holm")[1].
    p = np.array([0.01, 0.04, 0.03, 0.005, 0.5, 0.03, 0.9, 0.2])
    np.testing.assert_allclose(holm(p), [0.07, 0.18, 0.18, 0.04, 1.0, 0.18, 1.0, 0.6], rtol=1e-12)


def test_holm_by_hand() -> None:
    # 3·0.01; 2·0.02; 0.03 alone would be 0.03, but not less than the one before.
    np.testing.assert_allclose(holm(np.array([0.03, 0.01, 0.02])), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(holm(np.array([0.03, np.nan, 0.01])), [0.03, np.nan, 0.02])
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert holm(np.array([])).shape == (0,)


def test_holm_keeps_the_family_wise_error() -> None:
    generator = np.random.default_rng(2)
    families = generator.random((10_000, 10))
    rate = np.mean([(holm(family) <= 0.05).any() for family in families])
    expected = 1 - (1 - 0.05 / 10) ** 10
    assert abs(rate - expected) <= error(expected, len(families))


def test_holm_of_sign_flips_that_share_seeds_keeps_the_family_wise_error() -> None:
    generator = np.random.default_rng(3)
    shared = null("skewed", generator, (1000, 1, 11))
    families = shared + null("skewed", generator, (1000, 8, 11))
    p = sign_flip_tests(families.reshape(-1, 11)).reshape(1000, 8)
    rate = np.mean([(holm(family) <= 0.05).any() for family in p])
    assert 0.005 < rate <= 0.05 + error(0.05, 1000)
    assert (p.min(1) <= 0.05).mean() > 0.1


# effect and power


def test_effect_by_hand() -> None:
    # J(2) = Γ(1) / Γ(1/2) = 1/√π; mean 2, standard deviation 1.
    assert effect_size(np.array([1.0, 2.0, np.nan, 3.0])) == pytest.approx(2 / math.sqrt(math.pi))
    # J(4) = Γ(2) / (√2·Γ(3/2)) = √(2/π); mean -3, variance 2.5.
    assert effect_size(-np.arange(1.0, 6)) == pytest.approx(-3 / math.sqrt(2.5) * math.sqrt(2 / math.pi))
    assert effect_size(np.array([0.1 + 0.2, 0.3, 0.3])) == math.inf
    assert effect_size(np.array([-0.3, -0.3, -0.3])) == -math.inf
    assert math.isnan(effect_size(np.zeros(3)))
    assert math.isnan(effect_size(np.array([1.0, 2.0])))
    assert math.isnan(effect_size(np.array([1.0, 2.0, np.inf])))


@pytest.mark.parametrize("n", [5, 8])
def test_effect_is_unbiased(n: int) -> None:
    effects = effect_sizes(np.random.default_rng(n).normal(0.8, 1, (100_000, n)))
    assert effects.mean() == pytest.approx(0.8, abs=4 * effects.std() / math.sqrt(len(effects)))


def test_power_is_statsmodels() -> None:
    # statsmodels 0.15.0, stats.power.TTestPower().power(effect, n, level).
    for effect, n, level, power in (
        (0.5, 10, 0.05, 0.2931756065140767),
        (1.2, 3, 0.05, 0.230406860766337),
        (0.2, 100, 0.01, 0.2711856140201322),
        (2.0, 5, 0.1, 0.9748305765218064),
        (0.8, 2, 0.05, 0.07882061454243196),
    ):
        assert paired_t_power(np.array(effect), np.array(n), level) == pytest.approx(power, rel=1e-9)
        assert paired_t_power(np.array(-effect), np.array(n), level) == pytest.approx(power, rel=1e-9)


@pytest.mark.parametrize("n", [2, 6, 40, 977])
@pytest.mark.parametrize("effect", [0.05, 0.261, 0.9, 5.0])
def test_power_is_the_integral_over_the_spread(n: int, effect: float) -> None:
    # t' = (z + √n·effect) / s with s² chi-squared over n - 1.
    critical, centre = stats.t.ppf(0.975, n - 1), math.sqrt(n) * effect
    spread = stats.chi(n - 1, scale=1 / math.sqrt(n - 1))

    def outside(s: float) -> float:
        return (stats.norm.sf(critical * s - centre) + stats.norm.cdf(-critical * s - centre)) * spread.pdf(s)

    ends = spread.ppf(1e-13), spread.isf(1e-13)
    expected = integrate.quad(outside, *ends, limit=200)[0]
    assert paired_t_power(np.array(effect), np.array(n)) == pytest.approx(expected, abs=1e-7)


def test_power_is_a_number_for_any_effect_and_seeds() -> None:
    effects, seeds = np.meshgrid(np.linspace(0, 10, 60), np.arange(2, MOST_SEEDS + 1, 7))
    power = paired_t_power(effects, seeds)
    assert ((power >= 0.05 - 1e-9) & (power <= 1 + 1e-9)).all()


def test_seeds_are_statsmodels() -> None:
    # statsmodels 0.15.0, stats.power.TTestPower().solve_power(effect_size=effect, power=power, alpha=level), rounded up.
    for effect, power, level, solved in (
        (0.5, 0.8, 0.05, 33.36713118431779),
        (0.3, 0.8, 0.05, 89.14936472045834),
        (1.0, 0.8, 0.05, 9.93785094105438),
        (1.4, 0.8, 0.05, 6.183991288423613),
        (0.09, 0.8, 0.05, 970.9176043274774),
        (0.8, 0.95, 0.01, 31.235979527052873),
    ):
        assert seeds_for_effects(np.array([effect, -effect]), power, level).tolist() == [math.ceil(solved)] * 2


def test_seeds_have_a_least_and_a_most() -> None:
    # Below six pairs 2 / 2^n > 0.05: the t-test would be content with 5.9, and with 3, the sign-flip test is not.
    assert seeds_for_effects(np.array([1.45, 5, 1e9, np.inf, -np.inf])).tolist() == [6] * 5
    assert seeds_for_effects(np.array([np.inf]), level=0.01).item() == 8
    assert [least_seeds(level) for level in (0.5, 0.25, 0.0625, 0.05, 0.01)] == [2, 3, 5, 6, 8]
    # statsmodels: 1088 seeds.
    assert seeds_for_effects(np.array([[0.085], [1e-9]])).tolist() == [[MOST_SEEDS], [MOST_SEEDS]]
    assert np.isnan(seeds_for_effects(np.array([0, np.nan]))).all()


def test_seeds_for_power_take_the_corrected_effect() -> None:
    # g = 0.5·√(2/π) and not 0.5, which 34 seeds would show.
    differences = np.array([-2.0, -1, 0, 1, 2]) / math.sqrt(2.5) + 0.5
    assert seeds_for_power(differences) == seeds_for_effects(np.array([0.5 * math.sqrt(2 / math.pi)])).item() == 52
    assert math.isnan(seeds_for_power(np.zeros(5)))


# spread


class Ratio(NamedTuple):
    ratio: float
    low: float
    high: float
    p: float


def variance_ratio(a: np.ndarray, b: np.ndarray) -> Ratio:
    return Ratio(*(column.item() for column in variance_ratios(a[None], b[None])))


@pytest.mark.parametrize("n", [3, 4, 10])
def test_variance_ratio_is_the_correlation_of_sum_and_difference(n: int) -> None:
    generator = np.random.default_rng(n)
    for _ in range(5):
        shared = generator.normal(size=n)
        a, b = 3 * generator.normal(size=n) + shared, generator.normal(size=n) + shared + 7
        got = variance_ratio(a, b)
        assert got.ratio == pytest.approx(a.var() / b.var())
        assert got.p == pytest.approx(stats.pearsonr(a + b, a - b).pvalue)
        # The ends are the ratios that are just not rejected.
        assert got.low < got.ratio < got.high
        for end in (got.low, got.high):
            scaled = a / math.sqrt(end)
            assert stats.pearsonr(scaled + b, scaled - b).pvalue == pytest.approx(0.05, rel=1e-6)


def test_variance_ratio_leaves_pairs_with_nan_out() -> None:
    a, b = np.array([1.0, 2.0, 4.0, np.nan, 9.0]), np.array([2.0, 1.5, 3.0, 100.0, np.nan])
    assert variance_ratio(a, b) == variance_ratio(a[:3], b[:3])


def test_variance_ratio_of_what_does_not_vary_is_nan() -> None:
    line = np.array([0.9, 1.0, 0.95])
    for a, b in ((line[:2], line[1:]), (line, np.full(3, 0.1 + 0.2)), (np.zeros(3), line), (line[:0], line[:0])):
        assert np.isnan(variance_ratio(a, b)).all()
    # On a line there is a ratio, and neither interval nor p.
    got = variance_ratio(line, 2 * line - 1)
    assert got.ratio == pytest.approx(0.25)
    assert np.isnan([got.low, got.high, got.p]).all()


@pytest.mark.parametrize("n", [3, 5, 10])
def test_variance_ratio_rejects_five_per_cent_of_normal_nulls_and_covers_true_ratios(n: int) -> None:
    generator = np.random.default_rng(n)
    shared = generator.normal(size=(20_000, n))
    a, b = (generator.normal(size=shared.shape) + shared for _ in range(2))
    _, low, high, p = variance_ratios(a, b)
    assert abs((p <= 0.05).mean() - 0.05) <= error(0.05, len(a))
    np.testing.assert_array_equal(p <= 0.05, (low >= 1) | (high <= 1))
    _, low, high, p = variance_ratios(3 * a + 1, b)
    assert abs(((low <= 9) & (high >= 9)).mean() - 0.95) <= error(0.05, len(a))
    assert n == 3 or (p <= 0.05).mean() > 0.2


def test_pooled_spread_by_hand() -> None:
    # Standard deviations 1 and 3 (D = -1/2), 2 and 2 (0), both 0 (left out); 0 and 1 (-1).
    unit = np.array([-1.0, 0.0, 1.0])
    a = np.array([unit + 5, 2 * unit, np.full(3, 0.9), np.full(3, 0.1 + 0.2)])
    b = np.array([3 * unit, 9 - 2 * unit, np.zeros(3), unit])
    got = pooled_sd_ratio(a, b, np.array(["x", "x", "x", "y"]))
    mean = (-0.25 - 1) / 2
    assert (got.settings, got.cells, got.p) == (2, 3, 2 / 4)
    assert got.ratio == pytest.approx((1 + mean) / (1 - mean))
    interval = stats.ttest_1samp([-0.25, -1], 0).confidence_interval(0.95)
    assert interval.low < -1
    assert interval.high > 1
    assert (got.low, got.high) == (0, math.inf)
    # A pair with NaN on one side counts on neither.
    more_a, more_b = np.c_[a, [50.0, np.nan, 1, 2]], np.c_[b, [np.nan, 70.0, np.nan, np.nan]]
    assert pooled_sd_ratio(more_a, more_b, np.array(["x", "x", "x", "y"])) == got
    nothing = pooled_sd_ratio(a[2:3], b[2:3], np.array(["x"]))
    assert (nothing.settings, nothing.cells) == (0, 0)
    assert np.isnan([nothing.ratio, nothing.low, nothing.high, nothing.p]).all()


def test_pooled_spread_has_the_interval_of_the_settings_and_turns_with_the_labels() -> None:
    generator = np.random.default_rng(0)
    settings = np.repeat(np.arange(7), 2)
    a, b = generator.normal(size=(14, 4)), 2 * generator.normal(size=(14, 4))
    sd_a, sd_b = a.std(1, ddof=1), b.std(1, ddof=1)
    d = ((sd_a - sd_b) / (sd_a + sd_b)).reshape(7, 2).mean(1)
    interval = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    got, turned = pooled_sd_ratio(a, b, settings), pooled_sd_ratio(b, a, settings)
    np.testing.assert_allclose(
        [got.ratio, got.low, got.high], [(1 + x) / (1 - x) for x in (d.mean(), interval.low, interval.high)]
    )
    np.testing.assert_allclose([turned.ratio, turned.low, turned.high], [1 / got.ratio, 1 / got.high, 1 / got.low])
    assert got.p == turned.p == by_patterns(d)


@pytest.mark.parametrize("kind", ["normal", "skewed"])
@pytest.mark.parametrize("seeds", [3, 5])
def test_pooled_spread_rejects_at_most_five_per_cent_of_nulls(kind: str, seeds: int) -> None:
    """Eight settings of six cells that share what their seed does, at other levels and scales in each cell."""
    generator = np.random.default_rng(seeds)
    settings = np.repeat(np.arange(8), 6)
    studies = 400
    rejected = detected = 0
    for _ in range(studies):
        scale = np.exp(generator.normal(size=(48, 1)))

        def values(scale: np.ndarray = scale) -> np.ndarray:
            shared = null(kind, generator, (8, seeds))[settings]
            return scale * (shared + null(kind, generator, (48, seeds)) / 2)

        a, b = values(), values() + 10 * generator.normal(size=(48, 1))
        rejected += pooled_sd_ratio(a, b, settings).p <= 0.05
        detected += pooled_sd_ratio(a, 5 * b, settings).p <= 0.05
    assert abs(rejected / studies - 12 / 256) <= error(0.05, studies)
    assert detected / studies > 0.3


# tables


def study(seeds: int = 4) -> pd.DataFrame:
    generator = np.random.default_rng(5)
    cells = list(
        product(["one", "two"], ["class", "random"], ["early", "grokked", "sam"], ["ga", "scrub"], range(seeds))
    )
    table = pd.DataFrame(cells, columns=["setting", "forget_set", "checkpoint", "method", "seed"])
    table["gap"] = generator.normal(size=len(table)) + (table.checkpoint == "grokked")
    table["ues"] = np.where(generator.random(len(table)) < 0.3, np.nan, generator.normal(size=len(table)))
    return table.sample(frac=1, random_state=0)


CONTRASTS = [("grokked", "early"), ("sam", "grokked")]


def test_paired_differences_are_those_of_each_row() -> None:
    table = study()
    result = paired_differences(table, ["gap", "ues"], CONTRASTS)
    assert len(result) == 2 * 2 * 2 * 2 * 2
    assert result.pairs.nunique() > 2
    for row in result.itertuples():
        a, b = (
            table[
                (table.setting == row.setting)
                & (table.forget_set == row.forget_set)
                & (table.method == row.method)
                & (table.checkpoint == checkpoint)
            ]
            .sort_values("seed")[row.measure]
            .to_numpy()
            for checkpoint in row.contrast.split(" - ")
        )
        ratio = variance_ratio(a, b)
        expected = [
            *paired_interval(a - b),
            sign_flip_test(a - b),
            effect_size(a - b),
            seeds_for_power(a - b),
            *(ratio.ratio, ratio.low, ratio.high),
        ]
        got = [row.difference, row.low, row.high, row.p, row.effect, row.seeds_for_80_power]
        got += [row.variance_ratio, row.variance_low, row.variance_high]
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_family_of_holm_is_a_measure_and_contrast() -> None:
    result = paired_differences(study(6), ["gap", "ues"], CONTRASTS)
    assert result.groupby(["measure", "contrast"]).ngroups == 4
    for _, family in result.groupby(["measure", "contrast"]):
        np.testing.assert_array_equal(family.p_holm, holm(family.p.to_numpy()))
    assert (result.p_holm > result.p).any()


def test_moments_leave_nan_out() -> None:
    values = np.array([[1.0, np.nan, 4.0], [np.nan] * 3, [2.0, np.nan, np.nan], [0.1 + 0.2, 0.3, 0.3], [1, np.inf, 2]])
    count, mean, spread = moments(values)
    assert count.tolist() == [2, 0, 1, 3, 3]
    np.testing.assert_allclose(mean, [2.5, np.nan, 2, 0.3, np.inf])
    np.testing.assert_allclose(spread, [math.sqrt(4.5), np.nan, np.nan, 0, np.nan])
