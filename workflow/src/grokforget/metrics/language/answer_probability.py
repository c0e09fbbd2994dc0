"""How probable the right answer is (Maini et al. 2024, arXiv 2401.06121, section 2.2.2)."""

from __future__ import annotations

import numpy as np

from grokforget.metrics.base import SPLITS, Cell, Outputs
from grokforget.metrics.language.answers import mean

OPTIONS = ("real_authors", "world_facts")
"""Splits that ask what a model knew before: questions with wrong answers to choose from."""


def probability(losses: np.ndarray) -> np.ndarray:
    """p(answer | question)^(1 / tokens), the end of the text among the tokens, from an answer's mean -log p a token, nats."""
    return np.exp(-losses)


def among_options(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """p(right) / (p(right) + Σ p(wrong)), (N,), of a question with wrong answers to choose from: from the mean losses of the
    right answer (N,) and of the wrong ones (N, k), nats. A wrong one that is not there is NaN, and so is the answer where there
    are none."""
    # As 1 / (1 + Σ p(wrong) / p(right)), which never is 0 / 0.
    with np.errstate(over="ignore"):
        odds = np.nansum(np.exp(right[:, None] - wrong), axis=1)
    return np.where(np.isnan(wrong).all(1) | np.isnan(right), np.nan, 1 / (1 + odds))


def mean_probability(outputs: Outputs, split: str) -> float:
    """Over a split's examples; of the splits that are questions to choose an answer of (``OPTIONS``), ``among_options``."""
    if split in OPTIONS:
        return mean(outputs.column(split, "choice_probability"))
    return mean(probability(outputs.column(split, "loss")))


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_probability``: the mean over its examples, in [0, 1]."""
    return {f"{split}_probability": mean_probability(cell.outputs, split) for split in SPLITS}
