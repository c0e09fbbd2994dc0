"""Jacobian penalty (GrokAlign, Walker et al. 2025, arXiv 2506.12284), with the estimate of Hoffman et al. 2019 (arXiv
1908.02729) from one random projection an example."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples, on_device
from grokforget.models.linear import twice_differentiable
from grokforget.models.points import continuous
from grokforget.runtime.seeds import derive_seed
from grokforget.training.modes import frozen_statistics
from grokforget.training.penalties.base import Penalty

SMALLEST_SQUARE = 1e-8
"""Below this squared norm an example has no part in the gradient, where that of the root would grow without bound."""


class Jacobian(Penalty):
    """λ · mean over x of √(K ‖vᵀ J(x)‖²), J (K, inputs) the Jacobian of the logits at x, v uniform on the unit sphere.

    K ‖vᵀJ‖² has the mean ‖J‖²_F. The root is GrokAlign's, and its λ is meant for it; Hoffman et al. penalise the square.
    x are encoded inputs; for tokens their embeddings, taken as given points. An example's logits must not depend on other
    examples.
    """

    def __init__(self, *, strength: float) -> None:
        self.strength = strength

    def __call__(self, model: nn.Module, batch: Examples, *, seed: int, step: int) -> Tensor:
        points, logits_at = continuous(model, batch.x)
        points = points.detach().requires_grad_()
        with frozen_statistics(model), twice_differentiable():  # the loss has had its say in the statistics
            logits = logits_at(points)
        # Drawn on the CPU, so that a GPU run draws the same numbers.
        generator = torch.Generator().manual_seed(derive_seed(seed, "jacobian penalty", step))
        directions = on_device(torch.randn(logits.shape, generator=generator, dtype=logits.dtype), logits.device)
        directions = directions / directions.norm(dim=1, keepdim=True)
        (projected,) = torch.autograd.grad(logits, points, directions, create_graph=True)
        squares = logits.shape[1] * projected.flatten(1).square().sum(1)
        return self.strength * squares.clamp(min=SMALLEST_SQUARE).sqrt().mean()
