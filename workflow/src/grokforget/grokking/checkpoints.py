"""Which snapshots become checkpoints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from grokforget.grokking.transition import Grokking

if TYPE_CHECKING:
    from grokforget.config.training import SelectionSettings

TOLERANCE = 0.01
"""``grokked``: validation accuracies this near to the best count as equal to it, and the first such snapshot is taken.
"""
EARLY_TOLERANCE = 0.02
"""``early``: likewise, and the last is taken. It is the standard error of an accuracy from 500 examples: on a flat
curve the best value is luck, and luck must not make the checkpoint an untrained model."""


def select_checkpoints(
    steps: np.ndarray,
    train_accuracy: np.ndarray,
    validation_accuracy: np.ndarray,
    grokking: Grokking,
    settings: SelectionSettings,
) -> dict[str, tuple[int, bool]]:
    """Checkpoint → (step, whether it is what its name says). Arrays (n,) over the snapshots, in order of steps.

    ``early``: before the training data are fitted, among the snapshots with a train accuracy up to
    ``early_train_accuracy``, the last whose validation accuracy is within ``EARLY_TOLERANCE`` of the best there (the
    paper's θ_pre: early-stopped, and its training data not fitted). ``memorised``: the first with train accuracy
    ``fitted_accuracy``, where that is before ``grokked``: a run that has risen when it has fitted was at no time a
    model that had fitted and not yet generalised, and a snapshot compared with itself differs in nothing. ``grokked``:
    after t_grok, the first whose validation accuracy is within ``TOLERANCE`` of the best there, with the training data
    fitted. ``final``: the last, which is what its name says unless the run diverged. A run without such a snapshot goes
    on with the nearest there is, flagged: the least trained, the last, the last, the last.
    """
    last = len(steps) - 1
    fitted = np.flatnonzero(train_accuracy >= settings.fitted_accuracy)
    memorised = int(fitted[0]) if len(fitted) else last
    unfitted = np.flatnonzero(train_accuracy[: memorised + 1] <= settings.early_train_accuracy)
    # Step 0 is no trained model, unless there is nothing else.
    unfitted = unfitted[steps[unfitted] > 0]
    if len(unfitted):
        near = validation_accuracy[unfitted] >= validation_accuracy[unfitted].max() - EARLY_TOLERANCE
        early = int(unfitted[np.flatnonzero(near)[-1]])
    else:
        early = min(1, last)
    grokked, found = last, False
    if grokking.transition and not math.isnan(grokking.t_grok):
        after = np.flatnonzero((steps >= grokking.t_grok) & (train_accuracy >= settings.memorised_accuracy))
        if len(after):
            best = validation_accuracy[after].max()
            grokked, found = int(after[np.argmax(validation_accuracy[after] >= best - TOLERANCE)]), True
    return {
        "early": (int(steps[early]), bool(len(unfitted))),
        "memorised": (int(steps[memorised]), bool(len(fitted)) and not (found and memorised >= grokked)),
        "grokked": (int(steps[grokked]), found),
        "final": (int(steps[last]), grokking.kind != "diverged"),
    }


def match(
    steps: np.ndarray, train_accuracy: np.ndarray, validation_accuracy: np.ndarray, *, fitted: float, wanted: float
) -> tuple[int, bool]:
    """The first trained snapshot that has fitted its training data (train accuracy ``fitted``) and whose validation accuracy
    is within ``TOLERANCE`` of the one ``wanted`` (that of the checkpoint ``grokked`` of another setting), so that neither
    tells the two apart: (step, whether there is one). Without one, the best on validation data.
    """
    trained = np.flatnonzero(steps > 0)
    if not len(trained):
        return int(steps[-1]), False
    alike = (train_accuracy[trained] >= fitted) & (validation_accuracy[trained] >= wanted - TOLERANCE)
    reached = trained[alike]
    chosen = reached[0] if len(reached) else trained[np.argmax(validation_accuracy[trained])]
    return int(steps[chosen]), bool(len(reached))
