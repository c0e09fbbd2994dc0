"""Grokfast (Lee et al. 2024, arXiv 2405.20233): low-pass filters of the gradients along training, added to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from grokforget.training.gradient_filters.base import GradientFilter


class GrokfastEMA(GradientFilter):
    """g ← g + λ μ with μ ← α μ + (1 - α) g, and the first gradient for the first μ."""

    def __init__(self, *, alpha: float, amplification: float) -> None:
        super().__init__()
        self.alpha, self.amplification = alpha, amplification

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        for number, gradient in enumerate(parameter.grad for parameter in parameters):
            if gradient is None:
                continue
            name = f"{number}.average"
            if name not in self.memory:
                self.memory[name] = gradient.clone(memory_format=torch.contiguous_format)
            average = self.memory[name].mul_(self.alpha).add_(gradient, alpha=1 - self.alpha)
            gradient.add_(average, alpha=self.amplification)


class GrokfastMA(GradientFilter):
    """g ← g + λ · mean of the last ``window`` gradients, this one included; before there are so many, g as it is."""

    def __init__(self, *, window: int, amplification: float) -> None:
        super().__init__()
        self.window, self.amplification = window, amplification

    @torch.no_grad()
    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        # On the CPU, where reading it waits for nothing.
        seen = self.memory.setdefault("seen", torch.zeros((), dtype=torch.int64))
        place = int(seen) % self.window
        seen += 1
        full = int(seen) >= self.window
        for number, gradient in enumerate(parameter.grad for parameter in parameters):
            if gradient is None:
                continue
            name = f"{number}.window"
            if name not in self.memory:
                self.memory[name] = gradient.new_zeros(self.window, *gradient.shape)
            self.memory[name][place].copy_(gradient)
            if full:
                gradient.add_(self.memory[name].mean(0), alpha=self.amplification)
