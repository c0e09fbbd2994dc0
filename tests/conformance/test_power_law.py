"""The power law of times with censored ones: against ordinary least squares, data of a known exponent, and plain maximisation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from grokforget.statistics.power_law import power_law
from grokforget.tables.laws import laws


def drawn(seed: int, exponent: float, budget: float = math.inf, spread: float = 0.1) -> tuple[np.ndarray, ...]:
    """Six values, five times each; those behind the budget are censored there."""
    x = np.repeat(np.geomspace(0.03, 3, 6), 5)
    times = 10 ** (3 - exponent * np.log10(x) + spread * np.random.default_rng(seed).normal(size=len(x)))
    return x, np.minimum(times, budget), times > budget


def test_without_censoring_it_is_ordinary_least_squares_with_students_interval() -> None:
    x, times, censored = drawn(0, 1.0)
    found, line = power_law(x, times, censored), stats.linregress(np.log10(x), np.log10(times))
    half = stats.t.ppf(0.975, len(x) - 2) * line.stderr
    assert [found.exponent, found.low, found.high] == pytest.approx(
        [-line.slope, -line.slope - half, -line.slope + half]
    )
    residual = np.log10(times) - line.intercept - line.slope * np.log10(x)
    assert found.middle == pytest.approx(stats.gmean(x))
    assert found.time == pytest.approx(stats.gmean(times))
    half = stats.t.ppf(0.975, len(x) - 2) * math.sqrt(float(residual @ residual) / (len(x) - 2) / len(x))
    assert np.log10(found.time_high / found.time) == pytest.approx(half)
    assert np.log10(found.time / found.time_low) == pytest.approx(half)
    assert found.sd == pytest.approx(float(np.std(residual)))


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_data_of_a_known_exponent_have_it_in_their_interval_as_often_as_is_said(exponent: float) -> None:
    within, estimates, naive = [], [], []
    for seed in range(300):
        x, times, censored = drawn(seed, exponent, budget=10**3.7, spread=0.2)
        found = power_law(x, times, censored)
        within.append(found.low <= exponent <= found.high)
        estimates.append(found.exponent)
        naive.append(-stats.linregress(np.log10(x[~censored]), np.log10(times[~censored])).slope)
    # Of 300 at 95 %: four standard errors are five points.
    assert 0.9 <= np.mean(within) <= 0.995
    assert np.mean(estimates) == pytest.approx(exponent, abs=4 * np.std(estimates) / math.sqrt(300))
    if exponent == 1.0:
        assert np.mean(naive) < exponent - 0.05, "to leave censored runs out makes the law flatter than it is"


def test_a_case_by_hand_is_what_plain_maximisation_finds() -> None:
    x = np.array([0.1, 0.1, 0.3, 0.3, 1.0, 1.0, 3.0])
    times = np.array([5000.0, 4000, 2000, 2500, 900, 700, 250])
    censored = np.array([True, False, False, False, False, False, False])
    found = power_law(x, times, censored)

    def lost(at: np.ndarray) -> float:
        z = (np.log10(times) - at[0] + at[1] * np.log10(x)) / math.exp(at[2])
        return -float(np.where(censored, stats.norm.logsf(z), stats.norm.logpdf(z) - at[2]).sum())

    best = optimize.minimize(
        lost, [3, 1, -2], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9999}
    )
    assert found.exponent == pytest.approx(best.x[1], abs=1e-6)
    assert found.sd == pytest.approx(math.exp(best.x[2]), abs=1e-6)
    assert np.log10(found.time) == pytest.approx(best.x[0] - best.x[1] * np.log10(found.middle), abs=1e-6)
    assert found.exponent > power_law(x, times, np.zeros(7, bool)).exponent, "the censored time is a longer one"


def test_nothing_is_fitted_to_too_little_and_to_a_line() -> None:
    x = np.array([0.1, 0.1, 1.0, 1.0])
    assert math.isnan(power_law(x, 100 / x, np.zeros(4, bool)).exponent), "no spread"
    assert math.isnan(power_law(x, np.array([9.0, 8, 2, 3]), np.array([False, False, True, True])).exponent)
    assert math.isnan(power_law(x[:0], x[:0], np.zeros(0, bool)).exponent)


def made() -> pd.DataFrame:
    """A grid of weight decays: never, late, and too much."""
    rows = []
    for decay, times in {
        0.0: [None, None],
        0.1: [900, None],
        1.0: [100, 140],
        3.0: [40, 50],
        30.0: ["no memorisation", "diverged"],
    }.items():
        for seed, time in enumerate(times):
            kind = time if isinstance(time, str) else "grokking" if time else "did not finish"
            known = float(time) if isinstance(time, int) else math.nan
            row = {
                "setting": f"a-{decay}",
                "train_set": "full",
                "seed": seed,
                "kind": kind,
                "transition": kind == "grokking",
            }
            row |= {"steps": 1000, "t_mem": 10.0 if kind in ("grokking", "did not finish") else math.nan}
            row |= {f"{name}{end}": known for name in ("t_grok", "gap") for end in ("", "_90", "_99")}
            row["gap"] = known - 10
            row |= {"censored": kind == "did not finish"} | {
                f"censored_{end}": kind in ("did not finish", "no memorisation") for end in ("90", "99")
            }
            rows.append({**row, "grid": "a", "weight_decay": decay})
    return pd.DataFrame(rows)


def test_the_table_counts_who_is_fitted_censored_and_neither() -> None:
    table = laws(made()).set_index("quantity")
    assert set(table.index) == {"t_grok", "gap", "t_grok_90", "t_grok_99"}
    row = table.loc["t_grok"]
    assert (row.grid, row.within, row.label) == ("a", "", "weight_decay")
    assert (row.smallest, row.largest) == (0.1, 3.0)
    assert (row.runs, row.censored, row.excluded, row.outside) == (6, 1, 0, 4)
    x, times = np.array([0.1, 0.1, 1, 1, 3, 3]), np.array([900.0, 1000, 100, 140, 40, 50])
    expected = power_law(x, times, np.arange(6) == 1)
    assert (row.exponent, row.low) == (expected.exponent, expected.low)
    assert table.loc["gap"].exponent == power_law(x, times - 10, np.arange(6) == 1).exponent
    spoilt = made()
    spoilt.loc[spoilt.weight_decay == 3.0, "kind"] = ["grokking", "no memorisation"]
    spoilt.loc[(spoilt.weight_decay == 3.0) & (spoilt.seed == 1), ["transition", "t_grok"]] = [False, math.nan]
    row = laws(spoilt).set_index("quantity").loc["t_grok"]
    assert (row.runs, row.censored, row.excluded) == (5, 1, 1), "what never memorised is no late run"
    assert list(laws(made().iloc[:0]).columns) == list(laws(made()).columns)
