"""⊥Grad (Prieto et al. 2025, arXiv 2501.04697)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from grokforget.training.gradient_filters.base import GradientFilter

SMALLEST = 1e-30
"""Added to what is divided by, as in the authors' code: of weights of zero the gradient stays."""


class Perpendicular(GradientFilter):
    """g ← g - (⟨w, g⟩ / ‖w‖²) w for the weights w of every tensor, and with ``keeps_length`` that times ‖g‖ over its own norm."""

    def __init__(self, *, keeps_length: bool) -> None:
        super().__init__()
        self.keeps_length = keeps_length

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None:
                continue
            length = torch.linalg.vector_norm(gradient)
            along = (parameter * gradient).sum() / (parameter.square().sum() + SMALLEST)
            gradient.sub_(along * parameter)
            if self.keeps_length:
                gradient.mul_(length / (torch.linalg.vector_norm(gradient) + SMALLEST))
