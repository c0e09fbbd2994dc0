"""Truth ratio: whether a model prefers wrong answers to the right one in other words (Maini et al. 2024, arXiv 2401.06121,
section 2.2.1)."""

from __future__ import annotations

import numpy as np

from grokforget.metrics.base import SPLITS, Cell, Outputs
from grokforget.metrics.language.answers import mean as mean_of

SMALLEST = 1e-10
"""Added to what is divided by, as open-unlearning does."""


def truth_ratio(right: np.ndarray, wrong: np.ndarray, mean: str) -> np.ndarray:
    """R = mean p(wrong) / p(right) of each question, (N,), at least 0, of probabilities that are normalised by length: 1 where
    the model has no preference. ``right`` (N,) is the mean -log p a token of the paraphrased right answer, nats, ``wrong`` (N, k)
    that of the wrong answers in its form, NaN where there is none; R is NaN where there is no right or no wrong one.

    ``mean``: ``geometric``, of the probabilities, is what TOFU's and open-unlearning's code computes; ``arithmetic`` what the
    paper's formula says. TOFU's code has 1 / R under the name of the ratio.
    """
    there = ~np.isnan(wrong)
    count = np.maximum(there.sum(1), 1)
    if mean == "geometric":
        numerator = np.exp(-np.where(there, wrong, 0).sum(1) / count)
    else:
        numerator = np.where(there, np.exp(-wrong), 0).sum(1) / count
    return np.where(there.any(1), numerator, np.nan) / (np.exp(-right) + SMALLEST)


def nearness_to_one(ratios: np.ndarray) -> float:
    """Mean of min(R, 1 / R), in [0, 1], high where the model does not tell right from wrong: TOFU's aggregation on the forget
    set. Over what is known; NaN where nothing is."""
    with np.errstate(divide="ignore"):
        return mean_of(np.minimum(ratios, 1 / ratios))


def preference(ratios: np.ndarray) -> float:
    """Mean of max(0, 1 - R), in [0, 1], high where the model prefers the right answer: TOFU's aggregation everywhere else. Over
    what is known; NaN where nothing is."""
    return mean_of(np.maximum(0, 1 - ratios))


def ratios(outputs: Outputs, split: str, mean: str) -> np.ndarray:
    """R of a split's examples."""
    column = "wrong_answer_loss" if mean == "geometric" else "wrong_answer_probability"
    wrong = outputs.column(split, column)
    losses = wrong if mean == "geometric" else -np.log(wrong)
    return truth_ratio(outputs.column(split, "paraphrased_answer_loss"), losses[:, None], mean)


def measure(cell: Cell, *, mean: str) -> dict[str, float]:
    """``forget_truth_ratio``, ``nearness_to_one``; ``retain_truth_ratio`` and ``test_truth_ratio``, ``preference``."""
    return {
        f"{split}_truth_ratio": (nearness_to_one if split == "forget" else preference)(
            ratios(cell.outputs, split, mean)
        )
        for split in SPLITS
    }
