"""What is told of every run, against plain calculation from the formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grokforget.config.training import SelectionSettings
from grokforget.grokking.outcome import LEVELS, REACH, disagreement, gap_share, slope_at
from grokforget.grokking.transition import KINDS, read_curve
from grokforget.statistics.rates import wilson
from grokforget.tables.runs import rates, runs

STEPS = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000])
RULE = SelectionSettings(transition="accuracy")


def curve(setting: str, seed: int, train: Any, validation: Any, **more: Any) -> pd.DataFrame:
    """Of one run; the norm is 1000 less the step."""
    norm: dict[str, Any] = {"weight_norm": 1000.0 - STEPS, "train_loss": 0.1}
    accuracies = {"train_accuracy": train, "validation_accuracy": validation, "test_accuracy": validation}
    labels = {"setting": setting, "train_set": "full", "seed": seed, "step": STEPS, "diverged": False}
    return pd.DataFrame({**labels, **accuracies, **norm, **more})


FITTED = np.where(STEPS < 10, 0.5, 1.0)
LATE = np.where(STEPS < 400, 0.1, np.where(STEPS < 600, 0.92, 1.0))
NEVER = np.full(len(STEPS), 0.1)
AT_ONCE = np.where(STEPS < 2, 0.1, 1.0)
BROKEN = np.arange(len(STEPS)) == len(STEPS) - 1
TRAINING = pd.concat(
    [
        curve("a", 2, FITTED, LATE),
        curve("a", 0, FITTED, NEVER),
        curve("a", 1, FITTED, LATE, diverged=BROKEN),
        curve("a", 3, NEVER, NEVER),
        curve("a", 4, FITTED, AT_ONCE),
        curve("b", 0, FITTED, LATE),
    ],
    ignore_index=True,
)
TABLE = runs(TRAINING.sample(frac=1, random_state=0), {"a": RULE, "b": RULE}, {"a": 0.1, "b": 0.1}, {"a": 0.01})


def run(seed: int, setting: str = "a") -> dict[str, Any]:
    (row,) = TABLE[(TABLE.setting == setting) & (TABLE.seed == seed)].to_dict("records")
    return row


def test_the_slope_is_the_secant_of_the_evaluations_around_it_in_decades() -> None:
    steps, accuracy = np.array([1.0, 10, 95, 99.5, 100, 100.5, 200]), np.array([0, 0, 0.2, 0.3, 0.5, 0.6, 1.0])
    assert slope_at(steps, accuracy, 100.0) == pytest.approx((1.0 - 0.2) / (math.log10(200) - math.log10(95)))
    # Evaluations nearer than a hundredth of the step say noise.
    assert REACH == 0.01
    # Where the log ends, its last evaluation is taken.
    assert slope_at(steps[:-1], accuracy[:-1], 100.0) == pytest.approx((0.6 - 0.2) / math.log10(100.5 / 95))


@pytest.mark.parametrize("k", [4, 20, 60])
def test_the_slope_of_a_sigmoid_in_log_steps_is_a_quarter_of_k_times_its_height(k: float) -> None:
    """The derivative of c + (d - c) / (1 + exp(-k (x - x0))) at x0 is k (d - c) / 4."""
    steps = np.geomspace(10, 1e5, 2001)
    x0 = math.log10(steps[1000])
    accuracy = 0.1 + 0.8 / (1 + np.exp(-k * (np.log10(steps) - x0)))
    assert slope_at(steps, accuracy, float(steps[1000])) == pytest.approx(k * 0.8 / 4, rel=0.02)


@pytest.mark.parametrize("time", [math.nan, 0.0, 1.0])
def test_there_is_no_slope_without_a_time_or_anything_before_it(time: float) -> None:
    assert math.isnan(slope_at(STEPS.astype(float), LATE, time))


def test_detectors_are_apart_by_decades() -> None:
    assert disagreement(1000.0, 100.0) == disagreement(100.0, 1000.0) == pytest.approx(1)
    assert math.isnan(disagreement(math.nan, 100.0))
    assert (gap_share(100.0, 400.0), gap_share(400.0, 100.0)) == (0.75, -3.0)
    assert math.isnan(gap_share(0.0, 0.0))


@pytest.mark.parametrize(("count", "n"), [(0, 5), (3, 5), (5, 5), (1, 1), (17, 40)])
def test_wilson_s_interval_is_its_formula(count: int, n: int) -> None:
    """(p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)."""
    z, p = 1.959963984540054, count / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert wilson(count, n) == pytest.approx(expected, abs=1e-12)


def test_of_no_runs_there_is_no_interval() -> None:
    assert all(map(math.isnan, wilson(0, 0)))


def test_a_run_that_groks_has_its_times_gaps_slopes_and_norms() -> None:
    row = run(2)
    assert (row["kind"], row["transition"], row["censored"], row["steps"]) == ("grokking", True, False, 1000)
    assert [row[name] for name in ("t_mem", "t_grok", "t_grok_90", "t_grok_99")] == [10, 600, 400, 600]
    assert [row[f"gap{end}"] for end in ("", "_90", "_99")] == [590, 390, 590]
    assert [row[f"gap_share{end}"] for end in ("", "_90", "_99")] == pytest.approx([590 / 600, 390 / 400, 590 / 600])
    assert row["slope_90"] == pytest.approx((0.92 - 0.1) / math.log10(500 / 300))
    assert row["slope"] == row["slope_99"] == pytest.approx((1.0 - 0.92) / math.log10(700 / 500))
    assert (row["censored_90"], row["censored_99"]) == (False, False)
    names = ("start", "t_mem", "t_grok", "t_grok_90", "t_grok_99")
    assert [row[f"weight_norm_{name}"] for name in names] == [1000, 990, 400, 600, 400]
    assert row["norm_law"] == pytest.approx(math.log(990 / 400) / 0.01)
    assert (row["weight_norm"], row["test_accuracy"], row["train_accuracy"]) == (0, 1, 1)
    assert row["disagreement"] == pytest.approx(abs(math.log10(row["t_derivative"]) - math.log10(row["t_sigmoid"])))


def test_the_norm_law_is_of_runs_with_a_time_and_one_decay() -> None:
    assert math.isnan(run(0, "b")["norm_law"]), "of which no decay is known"
    assert math.isnan(run(0)["norm_law"]), "which did not grok"


def test_slingshots_are_read_off_loss_and_norm() -> None:
    loss = np.where(STEPS == 500, 5.0, 0.1)
    given = curve("a", 0, FITTED, LATE, train_loss=loss).assign(weight_norm=100.0 + STEPS)
    (row,) = runs(given, {"a": RULE}, {"a": 0.1}, {}).to_dict("records")
    assert (row["slingshots"], row["first_slingshot"]) == (1, 500)
    assert (run(2)["slingshots"], math.isnan(run(2)["first_slingshot"])) == (0, True)


def test_what_the_table_of_checkpoints_tells_too_is_the_same() -> None:
    for seed, (train, validation) in {0: (FITTED, NEVER), 2: (FITTED, LATE), 4: (FITTED, AT_ONCE)}.items():
        read = read_curve(STEPS, train, validation, chance=0.1, settings=RULE).row()
        assert {name: run(seed)[name] for name in read} == pytest.approx(read, nan_ok=True)


@pytest.mark.parametrize(
    ("seed", "kind", "censored", "censored_90"),
    [
        (0, "did not finish", True, True),
        (1, "diverged", False, False),
        (3, "no memorisation", False, True),
        (4, "immediate generalisation", False, False),
    ],
)
def test_what_did_not_happen_is_no_time_and_says_why(seed: int, kind: str, censored: bool, censored_90: bool) -> None:
    row = run(seed)
    assert (row["kind"], row["censored"], row["censored_90"]) == (kind, censored, censored_90)
    assert math.isnan(row["t_grok_90"]) == (kind != "immediate generalisation")
    assert math.isnan(row["weight_norm_t_grok_99"]) == (kind != "immediate generalisation")


def test_the_rows_are_in_order_of_their_runs() -> None:
    labels = TABLE[["setting", "train_set", "seed"]].to_records(index=False).tolist()
    assert labels == [*(("a", "full", seed) for seed in range(5)), ("b", "full", 0)]


def test_rates_count_all_runs_and_never_average_those_that_did_with_those_that_did_not() -> None:
    told = rates(TABLE)
    assert [*told.columns] == [
        *("setting", "train_set", "outcome", "runs", "count", "rate", "low", "high", "t_median"),
    ]
    levels = ["grokked", "grokked 90 %", "grokked 99 %"]
    assert [*told.outcome] == [*levels, *KINDS] * 2
    a = told[told.setting == "a"].set_index("outcome")
    assert (a.runs == 5).all()
    # One of five grokked; that which generalised at once did not, whatever it reached.
    assert [*a["count"][levels]] == [1, 1, 1]
    kinds = ["grokking", "did not finish", "no memorisation", "immediate generalisation", "diverged"]
    assert [*a["count"][kinds]] == [1] * 5
    assert a["count"][list(KINDS)].sum() == 5
    assert (a.rate == a["count"] / 5).all()
    assert (a.low["grokked"], a.high["grokked"]) == wilson(1, 5)
    assert a.t_median.isna().all(), "most never did"
    b = told[told.setting == "b"].set_index("outcome")
    assert [*b.t_median[levels]] == [600, 400, 600]
    assert b.t_median[list(KINDS)].isna().all()


def test_the_median_takes_runs_that_did_not_grok_for_later_than_any_that_did() -> None:
    many = pd.concat([curve("a", seed, FITTED, np.where(at > STEPS, 0.1, 1.0)) for seed, at in enumerate([200, 300])])
    many = pd.concat([many, curve("a", 2, FITTED, NEVER)], ignore_index=True)
    (median,) = rates(runs(many, {"a": RULE}, {"a": 0.1}, {})).query("outcome == 'grokked'").t_median
    assert median == 300, "of 200, 300 and never"


def test_the_levels_are_those_that_are_reported() -> None:
    assert LEVELS == {"90": 0.9, "99": 0.99}
