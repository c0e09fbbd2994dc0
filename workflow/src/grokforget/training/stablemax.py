"""Classes told apart by StableMax in training (Prieto et al. 2025, arXiv 2501.04697)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.training.classification import Classification


def log_stable(logits: Tensor) -> Tensor:
    """log s(z) of every logit z: s(z) = z + 1 for z ≥ 0 and 1 / (1 - z) below, where softmax has exp(z)."""
    # Both branches with what is theirs alone, for a gradient that is infinite in the other one would be no number.
    return torch.where(logits < 0, -torch.log1p(-logits.clamp(max=0)), torch.log1p(logits.clamp(min=0)))


class StableMax(Classification):
    """Trained by StableMax's cross-entropy, the mean over the examples of -log (s(z_y) / Σ_k s(z_k)), computed in float64 as in
    the authors' code; unlearned and judged as any model of classes is.

    s grows linearly, so that float32 keeps telling apart what is fitted, where softmax's gradient is absorbed to 0.
    """

    def __init__(self) -> None:
        super().__init__(loss="cross-entropy")

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(log_stable(outputs.double()), targets).to(outputs.dtype)
