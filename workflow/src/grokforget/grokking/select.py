"""Which snapshots become checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokforget.grokking.detect import Grokking

TOLERANCE = 0.01
"""Validation accuracies this near to the best count as equal to it; the first such snapshot is taken."""


def select_checkpoints(
    steps: np.ndarray,
    train_accuracy: np.ndarray,
    validation_accuracy: np.ndarray,
    grokking: Grokking,
    settings: Mapping[str, Any],
) -> dict[str, tuple[int, bool]]:
    """Checkpoint → (step, whether it is what its name says). Arrays (n,) over the snapshots, in order of steps.

    ``early``: the best validation accuracy among the snapshots with a train accuracy up to ``early_train_accuracy``
    (the paper's θ_pre, an early-stopped model that has not fitted its training data). ``memorised``: the first with
    train accuracy ``fitted_accuracy``. ``grokked``: after t_grok, the first whose validation accuracy is within
    ``TOLERANCE`` of the best there, with the training data fitted. A run without such a snapshot goes on with the
    nearest there is, flagged: the least trained, the last, the last.
    """
    unfitted = np.flatnonzero(train_accuracy <= settings["early_train_accuracy"])
    # Step 0 is no trained model, unless there is nothing else.
    unfitted = unfitted[steps[unfitted] > 0]
    last = len(steps) - 1
    early = int(unfitted[np.argmax(validation_accuracy[unfitted])]) if len(unfitted) else min(1, last)
    fitted = np.flatnonzero(train_accuracy >= settings["fitted_accuracy"])
    memorised = int(fitted[0]) if len(fitted) else last
    grokked, found = last, False
    if grokking.transition and not math.isnan(grokking.t_grok):
        after = np.flatnonzero((steps >= grokking.t_grok) & (train_accuracy >= settings["memorised_accuracy"]))
        if len(after):
            best = validation_accuracy[after].max()
            grokked, found = int(after[np.argmax(validation_accuracy[after] >= best - TOLERANCE)]), True
    return {
        "early": (int(steps[early]), bool(len(unfitted))),
        "memorised": (int(steps[memorised]), bool(len(fitted))),
        "grokked": (int(steps[grokked]), found),
    }
