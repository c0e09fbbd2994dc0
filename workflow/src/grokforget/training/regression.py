"""Predicting a number: the objective of a model whose outputs (N, 1) and targets (N, 1) are numbers."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from grokforget.training.objective import Objective


class Regression(Objective):
    """Trained by the mean squared error; right where an output is within ``tolerance`` of its target, in units of the targets.

    What unlearning asks beside, -log p in nats, is that of a normal distribution of variance 1 around the output, less its
    constant: half the squared error. Nothing is unlearned from such models, and nothing attacks them: they have no confidences.
    """

    def __init__(self, *, tolerance: float) -> None:
        self.tolerance = tolerance

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(output - target)², mean over the examples."""
        return functional.mse_loss(outputs, targets.to(outputs.dtype))

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.example_losses(outputs, targets).mean()

    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets.to(outputs.dtype)).square().flatten(1).sum(1) / 2

    def confidences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Raises NotImplementedError: a number has a density, and no probability."""
        raise NotImplementedError("a model of regression has no probability of its target")

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets).abs() <= self.tolerance).flatten(1).all(1)
