"""Reading the transition off a run's curves: when it memorised, when it generalised, how suddenly, and what kind of
curve it is.

The definitions follow ``SelectionSettings``; times are training steps, accuracies shares in [0, 1]. NaN stands for what
did not happen.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from grokforget.config.training import SelectionSettings

TAIL_SHARE = 0.1
"""The last tenth of the steps is where a run has arrived."""
MIN_RISE = 0.02
"""A smaller rise than this, or than three standard deviations of the tail, is no transition."""
NEAR_CHANCE = 0.25
"""A plateau below chance + this share of the way to 1 counts as chance: large initialisations sit a little above it."""


@dataclass(frozen=True)
class Grokking:
    """What a run's curves say.

    ``plateau`` and ``final`` are the validation accuracy after memorisation (of a late rise, at its best before it) and at the
    end; ``gap`` is t_grok - t_mem,
    ``gap_share`` gap / t_grok and ``delay`` log10(t_grok / t_mem), both NaN where a threshold is reached at step 0: there
    is no share of no time; ``sharpness`` 1 / (log10 t_.9 - log10 t_.1) per decade; ``t_derivative`` and
    ``t_sigmoid`` are the two automatic detectors, ``kind`` one of ``KINDS``.
    """

    t_mem: float
    t_grok: float
    gap: float
    gap_share: float
    delay: float
    sharpness: float
    plateau: float
    final: float
    t_derivative: float
    t_sigmoid: float
    kind: str
    transition: bool

    def row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Rise:
    """What an accuracy does after memorisation: its level then (``plateau``) and at the end (``final``), whether that is a rise
    (``rises``), and the step at which it has made half its way (``t_half``; NaN where it does not rise)."""

    plateau: float
    final: float
    rises: bool
    t_half: float


KINDS = (
    "grokking",
    "delayed generalisation",
    "double descent",
    "late rise",
    "immediate generalisation",
    "no memorisation",
    "did not finish",
    "diverged",
)


def first_sustained(steps: np.ndarray, holds: np.ndarray, sustained: int) -> float:
    """First step from which ``holds`` is true ``sustained`` times in a row; NaN if never."""
    position = first_position(holds, sustained)
    return math.nan if position is None else float(steps[position])


def first_position(holds: np.ndarray, sustained: int) -> int | None:
    """Where a first row of ``sustained`` truths begins."""
    runs = np.convolve(holds, np.ones(sustained, dtype=int), mode="valid") if len(holds) >= sustained else np.array([])
    found = np.flatnonzero(runs == sustained)
    return int(found[0]) if len(found) else None


def crossing_time(steps: np.ndarray, accuracy: np.ndarray, level: float, sustained: int) -> float:
    """When the accuracy crosses ``level``, sustained, interpolated in log step between the evaluations before and after.

    A jump from one evaluation to the next so still has a width, that of the interval; NaN where it never crosses.
    """
    position = first_position(accuracy >= level, sustained)
    if position is None:
        return math.nan
    if position == 0:
        return float(steps[0])
    before, after = accuracy[position - 1 : position + 1]
    share = (level - before) / (after - before)
    log_steps = np.log(np.maximum(steps[position - 1 : position + 1], 1))
    return float(np.exp(log_steps[0] + share * (log_steps[1] - log_steps[0])))


def arrived(steps: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """The accuracies (m,) where a run has arrived."""
    return accuracy[steps >= (1 - TAIL_SHARE) * steps[-1]]


def is_rise(plateau: float, tail: np.ndarray) -> bool:
    """Whether accuracies where a run has arrived lie above a plateau by more than they scatter."""
    return float(np.median(tail)) - plateau > max(3 * float(np.std(tail)), MIN_RISE)


def rise_after(steps: np.ndarray, accuracy: np.ndarray, t_mem: float, sustained: int = 1) -> Rise:
    """The rise of any accuracy (n,) above the plateau that it has from ``t_mem`` to twice that, read off as ``read_curve`` reads
    the validation accuracy; where no step lies there, the plateau is the first value after it."""
    tail = arrived(steps, accuracy)
    final, after = float(np.median(tail)), steps >= t_mem
    if not after.any():
        return Rise(math.nan, final, False, math.nan)
    there = after & (steps <= 2 * t_mem)
    plateau = float(np.median(accuracy[there])) if there.any() else float(accuracy[after][0])
    rises = is_rise(plateau, tail)
    half = after & (accuracy >= plateau + 0.5 * (final - plateau))
    return Rise(plateau, final, rises, first_sustained(steps, half, sustained) if rises else math.nan)


def read_curve(
    steps: np.ndarray,
    train_accuracy: np.ndarray,
    validation_accuracy: np.ndarray,
    *,
    chance: float,
    settings: SelectionSettings,
    diverged: bool = False,
) -> Grokking:
    """Measure one run. Arrays (n,) of a run's evaluations in order of steps; ``chance`` is the accuracy of guessing."""
    sustained = settings.sustained
    t_mem = first_sustained(steps, train_accuracy >= settings.memorised_accuracy, sustained)
    tail = arrived(steps, validation_accuracy)
    final = float(np.median(tail))
    if math.isnan(t_mem) or diverged:
        nothing = dict.fromkeys(
            ("t_grok", "gap", "gap_share", "delay", "sharpness", "t_derivative", "t_sigmoid"), math.nan
        )
        kind = "diverged" if diverged else "no memorisation"
        return Grokking(t_mem=t_mem, plateau=math.nan, final=final, kind=kind, transition=False, **nothing)

    before = (steps > 0) & (steps <= t_mem) & (train_accuracy <= settings.early_train_accuracy)
    late = settings.transition == "late-rise" and bool(before.any())
    if late:
        # Of the accuracies before the training data are fitted the best: where an early-stopped model stands.
        start = int(np.argmax(np.where(before, validation_accuracy, -1)))
        plateau, after = float(validation_accuracy[start]), steps >= steps[start]
    else:
        plateau = float(np.median(validation_accuracy[(steps >= t_mem) & (steps <= 2 * t_mem)]))
        after = steps >= t_mem
    rise = final - plateau
    rises = is_rise(plateau, tail)

    if settings.transition == "accuracy":
        t_grok = first_sustained(steps, validation_accuracy >= settings.grokked_accuracy, sustained)
        transition = not math.isnan(t_grok) and t_grok > t_mem
    else:
        half = after & (validation_accuracy >= plateau + 0.5 * rise)
        t_grok = first_sustained(steps, half, sustained) if rises else math.nan
        transition = rises
    t_10, t_90 = (
        crossing_time(steps[after], validation_accuracy[after], plateau + share * rise, sustained)
        for share in (0.1, 0.9)
    )
    width = math.log10(t_90) - math.log10(t_10) if rises and t_90 > t_10 > 0 else math.nan
    return Grokking(
        t_mem=t_mem,
        t_grok=t_grok,
        gap=t_grok - t_mem,
        gap_share=(t_grok - t_mem) / t_grok if t_grok > 0 else math.nan,
        delay=math.log10(t_grok / t_mem) if t_grok > 0 and t_mem > 0 else math.nan,
        sharpness=1 / width,
        plateau=plateau,
        final=final,
        t_derivative=steepest(steps[after], validation_accuracy[after]) if rises else math.nan,
        t_sigmoid=sigmoid_midpoint(steps[after], validation_accuracy[after]) if rises else math.nan,
        kind="late rise"
        if late and transition
        else kind_of_curve(steps, validation_accuracy, t_mem, plateau, final, transition, chance),
        transition=transition,
    )


def kind_of_curve(
    steps: np.ndarray,
    validation_accuracy: np.ndarray,
    t_mem: float,
    plateau: float,
    final: float,
    transition: bool,
    chance: float,
) -> str:
    """The kind of a curve that memorised.

    With a transition after memorisation: ``double descent`` where the accuracy had been higher before it fell to the plateau,
    ``grokking`` from chance, ``delayed generalisation`` from above chance. Without one: ``immediate generalisation`` where
    the run is past half way from chance to 1 when it has memorised, else ``did not finish``.
    """
    if not transition:
        return "immediate generalisation" if plateau >= chance + 0.5 * (1 - chance) else "did not finish"
    # The peak of three evaluations in a row, so that one lucky evaluation is no descent.
    before = validation_accuracy[steps <= t_mem]
    peak = max((float(before[i : i + 3].min()) for i in range(len(before) - 2)), default=0.0)
    lowest = float(np.min(validation_accuracy[(steps >= t_mem) & (steps <= 2 * t_mem)]))
    if peak - lowest > max(MIN_RISE, 0.1 * (final - lowest)):
        return "double descent"
    return "grokking" if plateau <= chance + NEAR_CHANCE * (1 - chance) else "delayed generalisation"


def steepest(steps: np.ndarray, accuracy: np.ndarray, points: int = 200, width: int = 15) -> float:
    """The step at which the smoothed accuracy rises fastest per decade.

    The curve is interpolated onto ``points`` log-spaced steps and smoothed by a triangular window of about ``width``
    points.
    """
    if len(steps) < 3:
        return math.nan
    log_steps = np.log10(np.maximum(steps, 1))
    grid = np.linspace(log_steps[0], log_steps[-1], points)
    window = np.bartlett(width + 2)[1:-1]
    padded = np.pad(np.interp(grid, log_steps, accuracy), width // 2, mode="edge")
    smooth = np.convolve(padded, window / window.sum(), mode="valid")
    return float(10 ** grid[np.argmax(np.gradient(smooth, grid))])


def sigmoid_midpoint(steps: np.ndarray, accuracy: np.ndarray) -> float:
    """t0 of the least-squares fit of c + (d - c) / (1 + exp(-k (log10 t - log10 t0))); NaN where the fit does not
    converge in range."""
    if len(steps) < 5:
        return math.nan
    # Only here: the import takes half a second of processor time, longer than all else that a selection does, and most
    # runs have no transition to fit.
    import warnings

    from scipy.optimize import OptimizeWarning, curve_fit

    x = np.log10(np.maximum(steps, 1))

    def sigmoid(x: np.ndarray, low: float, high: float, slope: float, middle: float) -> np.ndarray:
        return low + (high - low) / (1 + np.exp(-np.clip(slope * (x - middle), -500, 500)))

    guess = (accuracy[0], accuracy[-1], 10.0, math.log10(max(steepest(steps, accuracy), 1)))
    bounds = ([-0.5, -0.5, 0.1, x[0]], [1.5, 1.5, 1000.0, x[-1]])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            (_, _, _, middle), _ = curve_fit(sigmoid, x, accuracy, p0=np.clip(guess, *bounds), bounds=bounds)
    except RuntimeError:
        return math.nan
    return float(10**middle) if x[0] < middle < x[-1] else math.nan
