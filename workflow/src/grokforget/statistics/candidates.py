"""What may explain what is lost at matched forgetting: the candidates by name, and what is asked of each."""

from __future__ import annotations

from typing import NamedTuple

SNAPSHOTS, CHECKPOINTS = "snapshots", "checkpoints"
OUTCOMES = ((SNAPSHOTS, "chance"), (CHECKPOINTS, "chance"), (CHECKPOINTS, "retrained"))
"""The kinds of units, each with the level of forgetting at which its collateral is read."""
TRAIN, TEST, NORM, STEP, PAST = "train accuracy", "test accuracy", "weight norm", "step", "past t_grok"
OF_TRAINING = {TRAIN: "train_accuracy", TEST: "test_accuracy", NORM: "weight_norm", STEP: "step"}
"""Predictors that the curves of training say: a column of ``training`` and ``checkpoints``."""


class Analysed(NamedTuple):
    """A predictor that an analysis measures: its kind, measure and part, and the measure that is its control, which is
    taken off."""

    kind: str
    measure: str
    part: str
    control: str = ""


ANALYSED = {
    "forget gradient norm": Analysed("gradient-alignment", "forget_gradient_norm", ""),
    "retain gradient norm": Analysed("gradient-alignment", "retain_gradient_norm", ""),
    "gradient alignment minus its control": Analysed(
        "gradient-alignment", "gradient_cosine", "", "gradient_cosine_control"
    ),
    "CKA minus its control": Analysed("cka", "cka", "representation", "cka_control"),
    "local complexity": Analysed("local-complexity", "local_complexity", "retain"),
    "sharpness": Analysed("sharpness", "sharpness", ""),
    "distance to the retrained model": Analysed("distance", "js_divergence", "test"),
}
KINDS = tuple(dict.fromkeys(one.kind for one in ANALYSED.values()))
"""The kinds of analyses that are predictors."""
CANDIDATES = (*OF_TRAINING, *ANALYSED)
FITTED = (TRAIN, TEST)
LEFT_FOR_GROKKING = ((TRAIN,), FITTED, (*FITTED, NORM))
"""What is given where it is asked what is left for being past t_grok."""
ASKED = {
    **{name: ((), tuple(one for one in FITTED if one != name)) for name in CANDIDATES},
    PAST: ((), *LEFT_FOR_GROKKING),
}
