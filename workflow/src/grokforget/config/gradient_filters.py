"""What may be done to a gradient before the optimizer is given it: one class of settings each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry

Amplification = Annotated[float, Field(gt=0, le=1000)]


class GradientFilter(Component):
    """Settings of a gradient filter."""

    @property
    def kept(self) -> int:
        """Numbers that it remembers of every parameter."""
        return 0


class GrokfastEMA(GradientFilter):
    """Grokfast (Lee et al. 2024, arXiv 2405.20233): the gradient, and the moving average of all that there were λ times again, so
    that what changes slowly counts for more."""

    implementation: ClassVar[str] = "grokforget.training.gradient_filters.grokfast:GrokfastEMA"

    kind: Literal["grokfast-ema"] = "grokfast-ema"
    alpha: float = Field(default=0.98, ge=0, lt=1)
    """α: the share of the average that stays in an update; .98 in the paper's tasks of modular arithmetic."""
    amplification: Amplification = 2.0
    """λ; 2 there, and with it a weight decay of .005."""

    @property
    def kept(self) -> int:
        return 1


class GrokfastMA(GradientFilter):
    """Grokfast's other filter: in place of the moving average the mean over the last gradients, once there are so many. It
    keeps them all: a running state is as many times as large."""

    implementation: ClassVar[str] = "grokforget.training.gradient_filters.grokfast:GrokfastMA"

    kind: Literal["grokfast-ma"] = "grokfast-ma"
    window: int = Field(default=100, ge=1, le=10_000)
    """w: how many gradients the mean is over; 100 in the paper's tasks of modular arithmetic."""
    amplification: Amplification = 5.0
    """λ; 5 there, and with it a weight decay of .01."""

    @property
    def kept(self) -> int:
        return self.window


class PerpendicularGradient(GradientFilter):
    """⊥Grad (Prieto et al. 2025, arXiv 2501.04697): the gradient without its part along the weights, which only scales the
    logits once all is fitted; tensor by tensor, as in the authors' code."""

    implementation: ClassVar[str] = "grokforget.training.gradient_filters.perpendicular:Perpendicular"

    kind: Literal["perpendicular"] = "perpendicular"
    keeps_length: bool = True
    """Whether what is left is stretched to the length that the tensor's gradient had, as in the authors' code; the paper's
    formula is without."""


GRADIENT_FILTERS = registry(GrokfastEMA, GrokfastMA, PerpendicularGradient)
GradientFilterSettings = component_union(GRADIENT_FILTERS)
