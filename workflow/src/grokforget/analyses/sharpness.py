"""How much the loss rises near by."""

from __future__ import annotations

import math

from torch import nn
from torch.nn import functional

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.data.loader import Examples
from grokforget.training.sam import sharpness_aware


@nan_where_diverged
def sharpness(probe: Probe, *, examples: int, radius: float) -> list[Value]:
    """``sharpness``: L(θ + ρ · g/‖g‖) - L(θ) in nats, L the mean cross-entropy of ``examples`` retain examples, g its gradient at
    θ and ρ the ``radius``: to first order the most that the loss rises within it (Foret et al. 2021, arXiv 2010.01412, eq. 1
    and 2). In float64 and eval mode.

    ``relative_sharpness``: the same where ρ is ``radius`` times the weight norm. Scaling all weights of a homogeneous network
    alike changes none of its predictions, but how far a fixed radius goes.
    """
    model, retain = probe.double(), as_double(probe.some("retain", examples))
    norm = math.sqrt(sum(p.detach().square().sum().item() for p in model.parameters()))
    return [
        Value("sharpness", "", rise(model, retain, radius)),
        Value("relative_sharpness", "", rise(model, retain, radius * norm)),
    ]


def rise(model: nn.Module, examples: Examples, rho: float) -> float:
    """By how much the mean cross-entropy of the examples is higher at the distance ``rho`` along its gradient."""
    losses: list[float] = []

    def gradient() -> None:
        model.zero_grad()
        loss = functional.cross_entropy(model(examples.x), examples.y)
        loss.backward()
        losses.append(loss.item())

    sharpness_aware(model, rho, gradient)
    here, above = losses
    return above - here
