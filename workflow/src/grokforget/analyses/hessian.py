"""The largest eigenvalue of the Hessian of the train loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.data.loader import Examples
from grokforget.training.objective import Objective


@nan_where_diverged
def hessian(probe: Probe, *, examples: int, iterations: int, tolerance: float) -> list[Value]:
    """The largest eigenvalue λ of the Hessian of the training loss, without weight decay, with respect to all parameters; mean
    over ``examples`` training examples (``retain``), in float64 and eval mode.

    ``top_eigenvalue``: v·Hv of power iteration on Hessian-vector products (Pearlmutter 1994), never above the largest
    eigenvalue. ``top_eigenvalue_error``: ‖Hv - λv‖, within which of it H has an eigenvalue. It ends where that is at most
    ``tolerance`` times |λ|, and after ``iterations``; where it has then come to a negative curvature or to none, as early in
    training, when both may be as large, as many follow on H plus a multiple of the identity. The first vector is drawn once,
    the same for all snapshots.
    """
    model, train = probe.double(), as_double(probe.some("retain", examples))
    product, size = hessian_product(model, train, probe.objective)
    drawn = torch.randn(size, generator=probe.generator("power iteration"), dtype=torch.float64)
    value, error = top_eigenvalue(product, drawn.to(train.x.device), iterations, tolerance)
    return [Value("top_eigenvalue", "", value), Value("top_eigenvalue_error", "", error)]


def hessian_product(
    model: nn.Module, examples: Examples, objective: Objective
) -> tuple[Callable[[Tensor], Tensor], int]:
    """The function v → Hv on vectors (P,), H being the Hessian of the training loss, and P, the number of parameters."""
    parameters = list(model.parameters())
    sizes = [parameter.numel() for parameter in parameters]
    loss = objective.training_loss(model(examples.x), examples.y)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)

    def product(vector: Tensor) -> Tensor:
        parts = [part.view_as(p) for part, p in zip(vector.split(sizes), parameters, strict=True)]
        curved = [(g, part) for g, part in zip(gradients, parts, strict=True) if g.requires_grad]
        along = torch.autograd.grad(
            [g for g, _ in curved], parameters, [part for _, part in curved], retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in along])

    return product, sum(sizes)


def top_eigenvalue(
    product: Callable[[Tensor], Tensor], start: Tensor, iterations: int, tolerance: float
) -> tuple[float, float]:
    """The largest eigenvalue of a symmetric matrix, given as v → Hv on vectors (P,), by power iteration from ``start``; and
    ‖Hv - λv‖ of the vector that it came to.

    Plain power iteration comes to the eigenvalue of largest magnitude, and between two of opposite signs to none. Added to it,
    that magnitude leaves no negative one.
    """
    value, error, size = power_iteration(product, start, 0.0, iterations, tolerance)
    if value > 0 and error <= tolerance * value:
        return value, error
    # Of the two the larger: v·Hv is at most the largest eigenvalue for every v.
    return max((value, error), power_iteration(product, start, size, iterations, tolerance)[:2])


def power_iteration(
    product: Callable[[Tensor], Tensor], start: Tensor, shift: float, iterations: int, tolerance: float
) -> tuple[float, float, float]:
    """v·Hv, ‖Hv - (v·Hv) v‖ and ‖Hv‖ of the last vector of power iteration on H + ``shift`` times the identity."""
    value = error = size = 0.0
    vector = start / start.norm()
    for _ in range(iterations):
        image = product(vector)
        value, size = (vector @ image).item(), image.norm().item()
        error = (image - value * vector).norm().item()
        if error <= tolerance * abs(value):
            break
        vector = image + shift * vector
        vector = vector / vector.norm()
    return value, error, size
