"""Reading the transition off a log of anyone's: accuracies that were written down at steps of their own, and a log that may
end in the middle of a rise.

Kinds, plateaus and detectors are those of ``transition.py``; what is added is what a log of a study never needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokforget.grokking.outcome import LEVELS, disagreement, gap_share, slope_at
from grokforget.grokking.transition import (
    arrived,
    first_position,
    first_sustained,
    is_rise,
    kind_of_curve,
    sigmoid_midpoint,
    steepest,
)


@dataclass(frozen=True)
class Series:
    """Accuracies, float64 (n,) in [0, 1], at ``steps``, float64 (n,), each once and in order."""

    steps: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True)
class Crossing:
    """When an accuracy reaches a level: the first evaluation from which it holds.

    ``confirmed`` is whether it then holds as often in a row as was asked; else it holds to the end of the log, which comes
    before. ``previous`` and ``accuracy`` are step and accuracy of the evaluation before. All NaN where it never holds.
    """

    time: float = math.nan
    confirmed: bool = True
    previous: float = math.nan
    accuracy: float = math.nan


@dataclass(frozen=True)
class Detection:
    """What a log says; times in its own steps, NaN where they did not come.

    ``t_grok`` is that by which ``kind`` is told: ``by`` says how. ``crossings`` are those of the levels 90 and 99 % of the test
    accuracy, by their names. ``gap`` is t_grok - t_mem, ``gap_share`` gap / t_grok and ``slope`` the test accuracy's rise per
    decade at t_grok; ``t_derivative`` and ``t_sigmoid`` are the two detectors and ``disagreement`` their distance in decades.
    ``censored``: the training data were fitted, and the log ends without a transition at ``last``. ``train`` and ``test`` are the
    accuracies at the end, ``plateau`` the test accuracy after t_mem.
    """

    kind: str
    transition: bool
    censored: bool
    memorised: Crossing
    crossings: dict[str, Crossing]
    t_grok: float
    by: str
    gap: float
    gap_share: float
    slope: float
    t_derivative: float
    t_sigmoid: float
    disagreement: float
    plateau: float
    train: float
    test: float
    last: float


def detect(
    train: Series,
    test: Series,
    *,
    chance: float = 0.0,
    memorised: float = 0.99,
    sustained: int = 3,
    diverged: bool = False,
) -> Detection:
    """Measure one run.

    t_mem is the first evaluation from which the train accuracy is at least ``memorised`` for ``sustained`` evaluations in a
    row, or to the end of the log. t_grok is the same of the test accuracy and 90 %. Where the test accuracy never gets there,
    or was there when the training data were fitted and lost it, t_grok is half its way from the plateau after t_mem to where
    it has arrived, if that is a rise (``transition.is_rise``).
    """
    steps, accuracy = test.steps, test.accuracy
    fitted = crossing(train, memorised, sustained)
    levels = {name: crossing(test, level, sustained) for name, level in LEVELS.items()}
    ends = {"train": float(train.accuracy[-1]), "test": float(accuracy[-1])}
    last = float(max(train.steps[-1], steps[-1]))
    told: dict[str, Any] = {"memorised": fitted, "crossings": levels, **ends, "last": last}
    if diverged or math.isnan(fitted.time):
        nothing: dict[str, Any] = dict.fromkeys(
            ("t_grok", "gap", "gap_share", "slope", "t_derivative", "t_sigmoid", "disagreement", "plateau"), math.nan
        )
        kind = "diverged" if diverged else "no memorisation"
        return Detection(kind=kind, transition=False, censored=False, by="", **nothing, **told)

    # From the test accuracy's first evaluation there, so that a plateau has one.
    start = float(steps[min(int(np.searchsorted(steps, fitted.time)), len(steps) - 1)])
    after = steps >= start
    plateau = float(np.median(accuracy[after & (steps <= 2 * start)]))
    t_grok, final, by = levels["90"].time, ends["test"], f"test accuracy {LEVELS['90']:.0%}"
    transition = t_grok > fitted.time
    if math.isnan(t_grok) or (not transition and plateau < LEVELS["90"]):
        tail = arrived(steps, accuracy)
        final, transition = float(np.median(tail)), is_rise(plateau, tail)
        half = after & (accuracy >= plateau + 0.5 * (final - plateau))
        t_grok = first_sustained(steps, half, min(sustained, len(steps))) if transition else math.nan
        by = f"half way from {plateau:.1%} to {final:.1%} test accuracy" if transition else ""
    kind = kind_of_curve(steps, accuracy, start, plateau, final, transition, chance)
    found = [look(steps[after], accuracy[after]) if transition else math.nan for look in (steepest, sigmoid_midpoint)]
    return Detection(
        kind=kind,
        transition=transition,
        censored=kind == "did not finish",
        t_grok=t_grok,
        by=by,
        gap=t_grok - fitted.time,
        gap_share=gap_share(fitted.time, t_grok),
        slope=slope_at(steps, accuracy, t_grok),
        t_derivative=found[0],
        t_sigmoid=found[1],
        disagreement=disagreement(*found),
        plateau=plateau,
        **told,
    )


def crossing(series: Series, level: float, sustained: int) -> Crossing:
    """When a level is reached."""
    holds = series.accuracy >= level
    position = first_position(np.append(holds, np.repeat(holds[-1:], sustained - 1)), sustained)
    if position is None:
        return Crossing()
    confirmed = position + sustained <= len(holds)
    if position == 0:
        return Crossing(float(series.steps[0]), confirmed)
    before = position - 1
    return Crossing(
        float(series.steps[position]), confirmed, float(series.steps[before]), float(series.accuracy[before])
    )
