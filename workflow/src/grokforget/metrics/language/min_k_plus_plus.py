"""Min-k %++ (Zhang et al. 2025, arXiv 2404.02936): Min-k % of log probabilities that are normalised by what the model expected of
any token there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_VARIANCE = 1e-6
"""As open-unlearning has it: where the model is sure of one token, nothing varies."""


def normalised(logits: Tensor, targets: Tensor) -> Tensor:
    """(log p(target) - μ) / σ of each token, (M,), in the logits' dtype: μ = Σ_v p(v) log p(v) and σ² = Σ_v p(v) (log p(v) - μ)²
    over the vocabulary. ``logits`` (M, V), ``targets`` (M,) int64. ``min_k`` of these is the score."""
    log_p = logits.log_softmax(1)
    p = log_p.exp()
    # A token of logit -∞ has 0 · -∞, and no part.
    mean = (p * log_p).nan_to_num(nan=0.0).sum(1)
    variance = (p * (log_p - mean[:, None]) ** 2).nan_to_num(nan=0.0).sum(1)
    score = log_p.gather(1, targets[:, None])[:, 0] - mean
    return score / variance.clamp(min=SMALLEST_VARIANCE).sqrt()
