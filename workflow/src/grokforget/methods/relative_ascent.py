"""Gradient ascent in steps that are a share of the weight norm: a control for weight norm and gradient size."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from grokforget.methods.base import Method, Problem
from grokforget.training.modes import BatchStatistics, set_modes


def norm_of(tensors: list[Tensor]) -> float:
    """Euclidean norm of all of them together, in float64: squares of float32 gradients near a minimum would vanish."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


class RelativeAscent(Method):
    """θ ← θ + ``share`` · ‖θ‖ · g / ‖g‖, g the gradient of CE over a batch of D_f and ‖θ‖ the norm at that moment.

    Every update moves every model by the same share of its own norm, so that neither large weights nor a small gradient
    alone keep a checkpoint where it is. Norms are over all parameters together. Train mode, no momentum, no weight decay.
    Where the gradient is zero (beside a loss below 1e-308) or not finite there is no direction, and the update moves nothing;
    how many there were is the diagnostic ``updates_without_direction``.
    """

    def __init__(self, *, share: float, epochs: int, batch_size: int, batch_statistics: BatchStatistics) -> None:
        self.share, self.epochs = share, epochs
        self.batch_size, self.batch_statistics = batch_size, batch_statistics

    def run(self, problem: Problem) -> Iterator[None]:
        model = problem.model
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        lost = 0
        self.diagnostics = {"updates_without_direction": 0.0}
        for epoch in range(self.epochs):
            for batch in problem.batches("forget", self.batch_size, epoch, self.batch_statistics):
                set_modes(model, self.batch_statistics, training=True)
                loss = problem.objective.unlearning_loss(model(batch.x).double(), batch.y)
                # Of log |L|: the direction is that of L, the length does not vanish as L does, which is exp(-margin).
                scale = 1 / loss.detach().abs() if loss else torch.ones_like(loss)
                gradients = list(
                    torch.autograd.grad(loss, parameters, scale, allow_unused=True, materialize_grads=True)
                )
                length = norm_of(gradients)
                if length and math.isfinite(length):
                    step = self.share * norm_of([p.detach() for p in parameters])
                    with torch.no_grad():
                        for p, g in zip(parameters, gradients, strict=True):
                            # Divided first and in float64: 1 / ‖g‖ may be beyond float32.
                            p.add_((g.double() / length * step).to(p.dtype))
                else:
                    lost += 1
                    self.diagnostics = {"updates_without_direction": float(lost)}
                yield
