"""Perplexity on answers."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import SPLITS, Cell


def perplexity(losses: np.ndarray, tokens: np.ndarray) -> float:
    """exp of the mean -log p over all tokens of all answers, from each answer's mean loss (N,), nats, and its number of tokens
    (N,), the end of the text among them: a long answer counts for more. NaN of no answers."""
    if not len(losses):
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.exp((losses * tokens).sum() / tokens.sum()))


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_perplexity``, at least 1: of ``retain``, of ``test``, questions of the same authors that were held out, and of
    ``forget``."""
    return {
        f"{split}_perplexity": perplexity(cell.outputs.column(split, "loss"), cell.outputs.column(split, "tokens"))
        for split in SPLITS
    }
