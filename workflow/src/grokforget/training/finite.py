"""Whether a model is still numbers: its weights, and what it says of examples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grokforget.training.evaluate import logits_of


@torch.no_grad()
def all_finite(model: nn.Module) -> bool:
    """Whether every weight is a number.

    Asked after every update, so it sums first: of numbers and what is no number the sum is no number. Only a sum that is
    none, which may also be one of numbers too large for it, has the weights looked at one by one.
    """
    total = float(sum(parameter.sum() for parameter in model.parameters()))
    return math.isfinite(total) or all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def finite_outputs(model: nn.Module, *inputs: Tensor) -> bool:
    """Whether all outputs for the inputs (N, ...) are numbers, in eval mode: weights that are may still overflow."""
    return all(bool(logits_of(model, x).isfinite().all()) for x in inputs)
