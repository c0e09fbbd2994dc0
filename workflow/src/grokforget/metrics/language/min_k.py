"""Min-k % (Shi et al. 2024, arXiv 2310.16789): a text that was never seen has some tokens that are hardly expected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def min_k(scores: Tensor, answer: Tensor, k: float) -> Tensor:
    """Minus the mean of the lowest max(1, ⌊k n⌋) of the n scores of an answer's own tokens, (N,): low where the model has
    seen it, as a loss is.

    ``scores`` (N, T) are the tokens' log p, nats, or their normalised ones (``min_k_plus_plus``); ``answer`` (N, T) bool; k in
    (0, 1]. 0 for an answer without tokens, as open-unlearning has it.
    """
    n = answer.sum(1)
    # In float64 so that .3 of 10 tokens are 3, as in Python.
    lowest = (n.double() * k).floor().long().clamp(min=1).minimum(n)
    ordered = scores.masked_fill(~answer, math.inf).sort(1).values
    taken = answer.new_ones(answer.shape).cumsum(1) <= lowest[:, None]
    return -ordered.masked_fill(~taken, 0).sum(1) / lowest.clamp(min=1)
