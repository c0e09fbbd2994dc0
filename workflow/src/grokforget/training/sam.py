"""Sharpness-aware minimisation (SAM; Foret et al. 2021, arXiv 2010.01412)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from grokforget.training.modes import frozen_statistics

SMALLEST_NORM = 1e-12
"""Added to ‖g‖, so that a gradient of zero moves nothing."""


def sharpness_aware(model: nn.Module, rho: float, gradient: Callable[[], None]) -> None:
    """Leave in ``.grad`` the gradient at θ + ``rho`` · g/‖g‖, g the gradient at θ, and θ bit for bit as it was.

    ``gradient`` puts the gradient of the objective at the current weights into ``.grad``; it is called twice, the second
    time with frozen batch-norm statistics. ‖g‖ is over all parameters together. Weight decay is the optimizer's: it has no
    part in the ascent.
    """
    gradient()
    with torch.no_grad():
        moved = [p for p in model.parameters() if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        # Copies, for adding and subtracting the same does not give back the same bits.
        before = [p.detach().clone() for p in moved]
        for p, g in zip(moved, gradients, strict=True):
            p.addcmul_(g, rho / (norm + SMALLEST_NORM))
    with frozen_statistics(model):
        gradient()
    with torch.no_grad():
        for p, value in zip(moved, before, strict=True):
            p.copy_(value)
