"""Reading curves: on made-up curves whose times and kind are known by construction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokforget.config.training import SelectionSettings
from grokforget.grokking.checkpoints import TOLERANCE, select_checkpoints
from grokforget.grokking.transition import KINDS, Grokking, first_sustained, read_curve, sigmoid_midpoint, steepest
from grokforget.training.schedule import evaluation_steps

STEPS = np.array(sorted(evaluation_steps(0, 20_000, 20, 100)))
CLEAN, NOISY = 0.05, 0.12
"""Tolerances of the detectors in decades of steps: a factor 1.12 on clean curves, 1.32 on noisy ones."""


def settings(transition: str = "plateau", **changes: Any) -> SelectionSettings:
    return SelectionSettings.model_validate({"transition": transition, **changes})


def sigmoid(steps: np.ndarray, middle: float, low: float, high: float, slope: float = 30.0) -> np.ndarray:
    """A rise that is a sigmoid in log10 t; ``slope`` is a decade's."""
    return low + (high - low) / (1 + np.exp(-slope * (np.log10(np.maximum(steps, 1)) - math.log10(middle))))


def memorising(steps: np.ndarray = STEPS, at: int = 200) -> np.ndarray:
    """Train accuracy that is below 0.99 before step ``at`` and 1 from it on."""
    return np.where(steps < at, 0.1 + 0.8 * steps / at, 1.0)


def decades(a: float, b: float) -> float:
    return abs(math.log10(a / b))


def read(
    train: np.ndarray, validation: np.ndarray, transition: str = "plateau", diverged: bool = False, **changes: Any
) -> Grokking:
    return read_curve(STEPS, train, validation, chance=0.1, settings=settings(transition, **changes), diverged=diverged)


CURVES = {
    "grokking": (memorising(), sigmoid(STEPS, 4000, 0.1, 1.0)),
    "delayed generalisation": (memorising(), sigmoid(STEPS, 4000, 0.5, 1.0)),
    "double descent": (
        memorising(),
        sigmoid(STEPS, 20, 0.1, 0.6) - sigmoid(STEPS, 120, 0.0, 0.4, slope=60) + sigmoid(STEPS, 4000, 0.0, 0.8),
    ),
    "late rise": (memorising(at=4000), sigmoid(STEPS, 30, 0.1, 0.5) + sigmoid(STEPS, 3500, 0.0, 0.15, slope=60)),
    "immediate generalisation": (memorising(), sigmoid(STEPS, 80, 0.1, 0.95)),
    "no memorisation": (sigmoid(STEPS, 100, 0.1, 0.9), sigmoid(STEPS, 4000, 0.1, 0.9)),
    "did not finish": (memorising(), sigmoid(STEPS, 80, 0.1, 0.2)),
    "diverged": (memorising(), sigmoid(STEPS, 4000, 0.1, 1.0)),
}


def noisy(accuracy: np.ndarray, seed: int, scale: float = 0.01) -> np.ndarray:
    return np.clip(accuracy + np.random.default_rng(seed).normal(0, scale, len(accuracy)), 0, 1)


def test_there_is_a_curve_of_every_kind() -> None:
    assert set(CURVES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_of_a_clean_curve(kind: str) -> None:
    train, validation = CURVES[kind]
    assert read(train, validation, rule(kind), diverged=kind == "diverged").kind == kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_kind_of_a_noisy_curve(kind: str, seed: int) -> None:
    train, validation = CURVES[kind]
    assert read(train, noisy(validation, seed), rule(kind), diverged=kind == "diverged").kind == kind


def rule(kind: str) -> str:
    """By which such a curve is read."""
    return "late-rise" if kind == "late rise" else "plateau"


def test_a_late_rise_begins_at_the_best_before_the_training_data_were_fitted() -> None:
    train, validation = CURVES["late rise"]
    curve = read(train, validation, "late-rise", early_train_accuracy=0.6)
    assert curve.plateau == pytest.approx(0.5, abs=0.01)
    assert (curve.final, curve.transition) == (pytest.approx(0.65, abs=0.01), True)
    assert decades(curve.t_grok, 3500) < CLEAN
    assert curve.t_grok < curve.t_mem, "half the way may be made before the last training example is fitted"
    # A constant rate leaves it where an early-stopped model stands.
    flat = read(train, sigmoid(STEPS, 30, 0.1, 0.5), "late-rise", early_train_accuracy=0.6)
    assert (flat.kind, flat.transition) == ("did not finish", False)
    assert read(train, validation).plateau == pytest.approx(0.65, abs=0.01), "the plateau after memorisation is another"


@pytest.mark.parametrize("kind", ["grokking", "delayed generalisation", "double descent"])
def test_a_rise_to_one_is_of_the_same_kind_by_accuracy(kind: str) -> None:
    assert read(*CURVES[kind], transition="accuracy").kind == kind


def test_a_rise_that_stays_below_the_asked_accuracy_did_not_finish() -> None:
    curve = read(memorising(), sigmoid(STEPS, 4000, 0.1, 0.9), transition="accuracy")
    assert (curve.kind, curve.transition) == ("did not finish", False)
    assert math.isnan(curve.t_grok)


def test_generalising_before_memorising_is_no_transition() -> None:
    curve = read(memorising(at=2000), sigmoid(STEPS, 100, 0.1, 1.0), transition="accuracy")
    assert (curve.kind, curve.transition) == ("immediate generalisation", False)


def test_only_runs_with_a_transition_have_one() -> None:
    rising = {"grokking", "delayed generalisation", "double descent", "late rise"}
    for kind, curves in CURVES.items():
        assert read(*curves, rule(kind), diverged=kind == "diverged").transition == (kind in rising), kind


def test_one_lucky_evaluation_before_memorisation_is_no_double_descent() -> None:
    train, validation = CURVES["grokking"]
    lucky = validation.copy()
    lucky[np.searchsorted(STEPS, 50)] = 0.6
    assert read(train, lucky).kind == "grokking"


def test_times_of_steps_are_the_steps() -> None:
    validation = np.where(STEPS < 5000, 0.1, 1.0)
    for transition in ("accuracy", "plateau"):
        curve = read(memorising(at=200), validation, transition)
        assert (curve.t_mem, curve.t_grok, curve.gap, curve.gap_share) == (200, 5000, 4800, 0.96)
        assert curve.delay == pytest.approx(math.log10(25))
        assert (curve.plateau, curve.final) == (0.1, 1.0)


def test_plateau_transition_is_half_way_from_plateau_to_end() -> None:
    curve = read(memorising(), sigmoid(STEPS, 3000, 0.4, 0.8))
    first_above = STEPS[STEPS >= 3000][0]
    assert curve.t_grok == first_above
    assert (curve.plateau, curve.final) == (pytest.approx(0.4, abs=1e-3), pytest.approx(0.8, abs=1e-3))


def test_memorisation_and_grokking_thresholds_are_those_of_the_settings() -> None:
    train, validation = memorising(at=1000), sigmoid(STEPS, 4000, 0.1, 1.0, slope=10)
    curve = read(train, validation, "accuracy", memorised_accuracy=0.5, grokked_accuracy=0.9)
    assert curve.t_mem == STEPS[np.argmax(train >= 0.5)] < 1000
    assert curve.t_grok == STEPS[np.argmax(validation >= 0.9)]


def test_what_did_not_happen_is_nan() -> None:
    curve = read(*CURVES["no memorisation"])
    times = (curve.t_mem, curve.t_grok, curve.gap, curve.delay, curve.sharpness, curve.t_derivative, curve.t_sigmoid)
    assert all(map(math.isnan, times))
    curve = read(*CURVES["did not finish"])
    assert curve.t_mem == 200
    assert all(map(math.isnan, (curve.t_grok, curve.gap, curve.t_derivative, curve.t_sigmoid)))


def test_a_diverged_run_keeps_the_time_of_memorisation() -> None:
    curve = read(*CURVES["diverged"], diverged=True)
    assert curve.t_mem == 200
    assert not curve.transition
    assert math.isnan(curve.t_grok)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transition", ["accuracy", "plateau"])
@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (np.ones(len(STEPS)), np.ones(len(STEPS))),
        (np.ones(len(STEPS)), sigmoid(STEPS, 4000, 0.1, 1.0)),
        (np.ones(len(STEPS)), np.where(STEPS < 1, 0.1, 1.0)),
        (memorising(), np.ones(len(STEPS))),
        (memorising(), np.where(STEPS < 5, 1.0, 0.1)),
    ],
    ids=["both", "memorised", "memorised, then grokked at 1", "generalised", "generalised, then lost it"],
)
def test_a_threshold_reached_at_step_0_has_no_ratio_of_times(
    train: np.ndarray, validation: np.ndarray, transition: str
) -> None:
    with np.errstate(all="raise"):
        curve = read(train, validation, transition)
    assert curve.t_mem == 0 or curve.t_grok == 0 or transition == "plateau"
    for value in (curve.gap_share, curve.delay):
        assert not math.isinf(value)
    assert math.isnan(curve.delay) or min(curve.t_mem, curve.t_grok) > 0
    if curve.t_grok > 0:
        assert curve.gap_share == (curve.t_grok - curve.t_mem) / curve.t_grok
    else:
        assert math.isnan(curve.gap_share)


@pytest.mark.parametrize("slope", [6, 15, 40, 150])
@pytest.mark.parametrize("middle", [1500, 3000, 6000])
def test_both_detectors_find_the_middle_of_a_clean_sigmoid(middle: int, slope: float) -> None:
    curve = read(memorising(at=100), sigmoid(STEPS, middle, 0.1, 0.95, slope))
    assert decades(curve.t_derivative, middle) < CLEAN
    assert decades(curve.t_sigmoid, middle) < CLEAN
    assert decades(curve.t_derivative, curve.t_sigmoid) < CLEAN


@pytest.mark.parametrize("seed", range(5))
def test_both_detectors_find_the_middle_of_a_noisy_sigmoid(seed: int) -> None:
    curve = read(memorising(at=100), noisy(sigmoid(STEPS, 3000, 0.1, 0.95, 15), seed, scale=0.02))
    assert decades(curve.t_derivative, 3000) < NOISY
    assert decades(curve.t_sigmoid, 3000) < CLEAN
    assert decades(curve.t_grok, 3000) < CLEAN


@pytest.mark.parametrize("slope", [15, 30, 60])
def test_sharpness_is_one_over_the_decades_from_a_tenth_to_nine_tenths(slope: float) -> None:
    curve = read(memorising(at=100), sigmoid(STEPS, 3000, 0.1, 0.95, slope))
    assert curve.sharpness == pytest.approx(slope / (2 * math.log(9)), rel=0.1)


def test_detectors_say_nothing_about_too_few_evaluations() -> None:
    steps = np.array([1, 10, 100, 1000])
    assert math.isnan(steepest(steps[:2], np.array([0.0, 1.0])))
    assert math.isnan(sigmoid_midpoint(steps, np.array([0.0, 0.0, 1.0, 1.0])))


def test_a_crossing_must_be_sustained() -> None:
    steps = np.arange(0, 100, 10)
    holds = np.array([0, 1, 0, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    assert first_sustained(steps, holds, 1) == 10
    assert first_sustained(steps, holds, 2) == 30
    assert first_sustained(steps, holds, 3) == 60
    assert math.isnan(first_sustained(steps, np.zeros(10, dtype=bool), 3))


def test_one_lucky_evaluation_neither_memorises_nor_groks() -> None:
    lucky_train, lucky_validation = memorising(at=400), np.where(STEPS < 5000, 0.1, 1.0)
    lucky_train[np.searchsorted(STEPS, 50)] = 1.0
    lucky_validation[np.searchsorted(STEPS, 2000)] = 1.0
    for transition in ("accuracy", "plateau"):
        curve = read(lucky_train, lucky_validation, transition)
        assert (curve.t_mem, curve.t_grok, curve.kind) == (400, 5000, "grokking")
        assert decades(curve.t_derivative, 5000) < CLEAN
        assert decades(curve.t_sigmoid, 5000) < CLEAN


def test_one_lucky_evaluation_at_the_end_is_no_transition() -> None:
    validation = np.full(len(STEPS), 0.1)
    validation[-1] = 1.0
    assert not read(memorising(), validation, "accuracy").transition


# Snapshots and what is selected among them.
SNAPSHOTS = np.array([0, 10, 20, 40, 80, 160, 320, 640, 1280])
TRAIN = np.array([0.1, 0.5, 0.7, 0.8, 0.9, 1.0, 1.0, 0.98, 1.0])
VALIDATION = np.array([0.1, 0.3, 0.45, 0.4, 0.2, 0.1, 0.9, 0.99, 0.985])


def grokked_at(t_grok: float) -> Grokking:
    curve = read(memorising(), np.where(STEPS < 5000, 0.1, 1.0))
    return Grokking(**{**curve.row(), "t_grok": t_grok, "transition": not math.isnan(t_grok)})


def test_selection_picks_the_snapshots_that_the_names_say() -> None:
    chosen = select_checkpoints(SNAPSHOTS, TRAIN, VALIDATION, grokked_at(300), settings())
    # early: the best validation accuracy up to train accuracy .8.
    # grokked: step 640 is better, but there the training data are no longer fitted.
    expected = {"early": (20, True), "memorised": (160, True), "grokked": (1280, True), "final": (1280, True)}
    assert chosen == expected


def test_grokked_is_the_first_snapshot_near_the_best_after_the_transition() -> None:
    validation = VALIDATION.copy()
    validation[6:] = [0.99 - TOLERANCE / 2, 1.0, 0.99]
    assert select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(300), settings())["grokked"] == (320, True)
    assert select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(321), settings())["grokked"] == (1280, True)


def test_early_on_a_flat_curve_is_the_last_unfitted_snapshot_not_a_lucky_one() -> None:
    validation = np.where(SNAPSHOTS == 10, 0.115, 0.1)
    chosen = select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(300), settings())
    assert chosen["early"] == (40, True)


def test_early_is_not_a_dip_after_memorisation() -> None:
    train = np.where(SNAPSHOTS == 640, 0.5, TRAIN)
    assert select_checkpoints(SNAPSHOTS, train, VALIDATION, grokked_at(300), settings())["early"] == (20, True)


def test_early_is_never_the_untrained_model() -> None:
    validation = np.where(SNAPSHOTS == 0, 0.9, VALIDATION)
    assert select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(300), settings())["early"] == (20, True)


def test_early_bound_is_that_of_the_settings() -> None:
    chosen = select_checkpoints(SNAPSHOTS, TRAIN, VALIDATION, grokked_at(300), settings(early_train_accuracy=0.6))
    assert chosen["early"] == (10, True)


def test_what_has_risen_when_it_has_fitted_was_never_a_model_that_had_only_fitted() -> None:
    validation = np.where(SNAPSHOTS >= 160, 1.0, 0.2)
    chosen = select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(100), settings())
    assert (chosen["memorised"], chosen["grokked"]) == ((160, False), (160, True))
    # Where nothing is found after it, it is compared with nothing.
    assert select_checkpoints(SNAPSHOTS, TRAIN, validation, grokked_at(1500), settings())["memorised"] == (160, True)


def test_a_run_without_a_transition_gives_its_last_snapshot_flagged() -> None:
    chosen = select_checkpoints(SNAPSHOTS, TRAIN, VALIDATION, grokked_at(math.nan), settings())
    expected = {"early": (20, True), "memorised": (160, True), "grokked": (1280, False), "final": (1280, True)}
    assert chosen == expected


@pytest.mark.parametrize("kind", KINDS)
def test_final_is_the_last_snapshot_and_what_its_name_says_unless_the_run_diverged(kind: str) -> None:
    curve = read(*CURVES[kind], diverged=kind == "diverged")
    chosen = select_checkpoints(SNAPSHOTS[:-2], TRAIN[:-2], VALIDATION[:-2], curve, settings())
    assert chosen["final"] == (320, kind != "diverged")


def test_a_transition_after_the_last_fitted_snapshot_is_flagged() -> None:
    assert select_checkpoints(SNAPSHOTS, TRAIN, VALIDATION, grokked_at(1500), settings())["grokked"] == (1280, False)


def test_a_run_that_never_fits_gives_its_last_snapshot_flagged() -> None:
    chosen = select_checkpoints(SNAPSHOTS, TRAIN * 0.7, VALIDATION, grokked_at(math.nan), settings())
    assert (chosen["memorised"], chosen["grokked"]) == ((1280, False), (1280, False))


def test_a_run_that_fits_at_once_gives_its_first_trained_snapshot_flagged() -> None:
    train = np.where(SNAPSHOTS == 0, 0.1, 1.0)
    assert select_checkpoints(SNAPSHOTS, train, VALIDATION, grokked_at(300), settings())["early"] == (10, False)


def test_one_snapshot_is_enough_to_select_from() -> None:
    chosen = select_checkpoints(SNAPSHOTS[:1], TRAIN[:1], VALIDATION[:1], grokked_at(math.nan), settings())
    unreached = dict.fromkeys(("early", "memorised", "grokked"), (0, False))
    assert chosen == {**unreached, "final": (0, True)}
