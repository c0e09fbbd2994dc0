"""The transition of accuracy under attack, on made-up curves: against its definition, value by value, in plain Python."""

from __future__ import annotations

import math
from statistics import median, pstdev

import numpy as np
import pandas as pd
import pytest

from grokforget.config.paper_tables import PAPER_TABLES
from grokforget.config.specs.base import Meanings
from grokforget.config.specs.tables import PaperTableSpec
from grokforget.grokking.transition import rise_after
from grokforget.runtime.components import ComponentSpec
from grokforget.tables.attacked import robustness_along

STEPS = [0, *(round(10 ** (k / 8)) for k in range(8, 33))]
"""Snapshots: 8 a decade, up to step 10,000."""
T_MEM = 200


def curve(low: float, high: float, middle: float, slope: float = 20.0) -> list[float]:
    """Falls to ``low`` while the training data are fitted, and rises to ``high`` around the step ``middle``."""
    fall = [0.5 / (1 + (step / 50) ** 2) for step in STEPS]
    rise = [(high - low) / (1 + math.exp(-slope * (math.log10(max(step, 1)) - math.log10(middle)))) for step in STEPS]
    return [low + a + b for a, b in zip(fall, rise, strict=True)]


def plainly(values: list[float], t_mem: float) -> tuple[float, float, bool, float]:
    """Plateau, end, whether it rises, and when it is half way up."""
    after = [(step, value) for step, value in zip(STEPS, values, strict=True) if step >= t_mem]
    end = [value for step, value in zip(STEPS, values, strict=True) if step >= 0.9 * STEPS[-1]]
    plateau = median([value for step, value in after if step <= 2 * t_mem] or [after[0][1]])
    rises = median(end) - plateau > max(0.02, 3 * pstdev(end))
    half = next((step for step, value in after if value >= (plateau + median(end)) / 2), math.nan)
    return plateau, median(end), rises, half if rises else math.nan


@pytest.mark.parametrize("middle", [800, 2000, 5000])
@pytest.mark.parametrize("t_mem", [50, T_MEM, 9000])
def test_a_late_rise_under_attack_is_found_where_it_was_put(middle: float, t_mem: float) -> None:
    values = curve(0.05, 0.4, middle)
    found = rise_after(np.array(STEPS), np.array(values), t_mem)
    assert (found.plateau, found.final, found.rises, found.t_half) == pytest.approx(plainly(values, t_mem), nan_ok=True)
    if t_mem == T_MEM:
        assert found.rises
        assert abs(math.log10(found.t_half / middle)) <= 0.13, (
            "a snapshot from it: they are an eighth of a decade apart"
        )


@pytest.mark.parametrize("values", [curve(0.05, 0.05, 2000), curve(0.4, 0.2, 2000), curve(0.05, 0.06, 2000)])
def test_what_stays_or_falls_or_rises_by_a_point_is_no_rise(values: list[float]) -> None:
    found = rise_after(np.array(STEPS), np.array(values), T_MEM)
    assert not found.rises
    assert math.isnan(found.t_half)
    assert found.final == pytest.approx(values[-1])


def test_a_rise_within_the_scatter_of_the_end_is_none() -> None:
    """Of five values of the end, that scatter by .05, the median lies .06 above the plateau."""
    steps = np.arange(1, 51)
    values = np.where(steps < 45, 0.1, np.where(steps % 2, 0.21, 0.11))
    tail = values[steps >= 45]
    assert 0.02 < np.median(tail) - 0.1 < 3 * tail.std()
    assert not rise_after(steps, values, 2).rises


def test_what_never_fitted_its_training_data_has_no_rise() -> None:
    found = rise_after(np.array(STEPS), np.array(curve(0.05, 0.4, 2000)), math.nan)
    assert math.isnan(found.plateau)
    assert not found.rises


def test_the_table_has_clean_and_attacked_accuracy_of_the_runs_that_fitted_and_of_the_others() -> None:
    clean, attacked, never = curve(0.6, 0.6, 2000), curve(0.05, 0.4, 2000), curve(0.1, 0.5, 1000)
    made = [
        ("a", seed, measure, part, values)
        for seed in (0, 1)
        for measure, part, values in (
            ("clean_accuracy", "", clean),
            ("worst_accuracy", "0.03", attacked if seed == 0 else clean),
            ("attacked_accuracy", "pgd/margin/0.03", never),
        )
    ]
    made.append(("b", 0, "worst_accuracy", "0.03", never))
    along = pd.DataFrame(
        {"setting": setting, "seed": seed, "forget_set": "w", "analysis": "robust", "measure": measure, "part": part,
         "step": step, "value": value, "flag": ""}
        for setting, seed, measure, part, values in made
        for step, value in zip(STEPS, values, strict=True)
    ).sample(frac=1, random_state=0)  # fmt: skip
    checkpoints = pd.DataFrame(
        {"setting": setting, "train_set": train_set, "seed": seed, "checkpoint": name, "t_mem": t_mem, "flag": ""}
        for setting, seed, t_mem in (("a", 0, T_MEM), ("a", 1, 2 * T_MEM), ("b", 0, math.nan))
        for train_set in ("full", "without-w")
        for name in ("early", "grokked")
    )
    checkpoints.loc[checkpoints.train_set != "full", "t_mem"] = 7.0
    row = PAPER_TABLES["robustness-along"]
    spec = PaperTableSpec(
        table=ComponentSpec(implementation=row.implementation),
        study=Meanings(analyses={"robust": "robustness", "other": "cka"}),
    )
    numbers = robustness_along({"along": along, "checkpoints": checkpoints}, spec).numbers
    assert numbers.index.tolist() == [("a", "clean"), ("a", "under attack, ε 0.03"), ("b", "under attack, ε 0.03")]
    assert numbers.index.names == ["setting", "accuracy"]
    plateau, end, rises, half = plainly(attacked, T_MEM)
    other = plainly(clean, 2 * T_MEM)
    assert rises
    assert not other[2]
    shown = numbers.loc["a", "under attack, ε 0.03"]
    assert shown["fitted at step mean"] == 1.5 * T_MEM
    assert shown["then mean"] == pytest.approx(50 * (plateau + other[0]), abs=1e-3)
    assert shown["at the end mean"] == pytest.approx(50 * (end + other[1]), abs=1e-3)
    assert shown["rises mean"] == 50, "of one of two runs"
    assert shown["half way at step mean"] == half
    unfitted = numbers.loc["b", "under attack, ε 0.03"]
    assert unfitted["rises mean"] == 0
    assert np.isnan(unfitted[["fitted at step mean", "then mean"]]).all()
