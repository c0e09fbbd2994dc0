"""What is reported of a run beside its kind: when it passes fixed levels, how steep it is there, and how far its two
detectors are apart.

Apart from ``transition.py``, by which checkpoints are selected: another measure here is nothing to them.
"""

from __future__ import annotations

import math

import numpy as np

LEVELS = {"90": 0.90, "99": 0.99}
"""The accuracies whose times are reported of every run, by the ending of their columns."""
REACH = 0.01
"""A slope is taken between evaluations at least this share of the step away from it: evaluations that lie nearer together
differ by their noise."""


def slope_at(steps: np.ndarray, accuracy: np.ndarray, time: float) -> float:
    """How fast an accuracy rises at a step ``time``, per decade of steps: its difference between the nearest evaluations that
    lie ``REACH`` or more of ``time`` before and after it, over that of their log10 steps. Where none lies so far after it, the
    last is taken. NaN where ``time`` is, and where there is no evaluation before it. Arrays (n,) in order of steps.
    """
    if math.isnan(time):
        return math.nan
    before = np.flatnonzero((steps <= (1 - REACH) * time) & (steps > 0))
    after = np.flatnonzero(steps >= (1 + REACH) * time)
    end = int(after[0]) if len(after) else len(steps) - 1
    if not len(before) or steps[end] < time:
        return math.nan
    start = int(before[-1])
    return float((accuracy[end] - accuracy[start]) / math.log10(steps[end] / steps[start]))


def gap_share(t_mem: float, t_grok: float) -> float:
    """(t_grok - t_mem) / t_grok; NaN where either is, and where t_grok is step 0."""
    return (t_grok - t_mem) / t_grok if t_grok > 0 else math.nan


def disagreement(t_derivative: float, t_sigmoid: float) -> float:
    """How far the two detectors are apart, in decades of steps: |log10(t_derivative / t_sigmoid)|; NaN where either is."""
    return abs(math.log10(t_derivative / t_sigmoid)) if t_derivative > 0 and t_sigmoid > 0 else math.nan


def norm_law(before: float, after: float, decay: float) -> float:
    """Updates in which a weight norm shrinks from ``before`` to ``after`` where every update takes the share ``decay`` of the
    weights off, the learning rate times the decoupled weight decay, and does nothing else: ln(before / after) / decay (after
    Liu et al. 2022, arXiv 2210.01117). Negative where it has grown; NaN where a norm is, and without decay.
    """
    return math.log(before / after) / decay if decay > 0 and before > 0 and after > 0 else math.nan
