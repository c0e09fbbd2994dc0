"""Accuracy under attacks in the maximum norm, and whether they fail for want of a gradient.

FGSM (Goodfellow et al. 2015, arXiv 1412.6572) is one step of ε along the sign of the input gradient, from the point
itself. PGD (Madry et al. 2018, arXiv 1706.06083) takes smaller steps from a random point of the ball and is put back into
it after each. Both raise a loss of the true class: the cross-entropy, whose gradient vanishes where a model is very sure,
or the margin (Carlini and Wagner 2017, arXiv 1608.04644), whose gradient does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.data.loader import Examples
from grokforget.models.points import continuous, unit_of
from grokforget.training.adversarial import Box, PerExample, data_box, gradient

BATCH = 128
"""Examples attacked at a time: in float64 and without gradients of the weights, about what training on as many takes."""

CHUNK = 4096
"""Examples that are points at a time, to tell their range: in float64 pixels take eight times their room."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest other logit minus that of the true class (N,): positive where the prediction is wrong."""
    others = logits.scatter(1, labels[:, None], -math.inf)
    return others.amax(1) - logits.gather(1, labels[:, None])[:, 0]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p of the true class (N,), nats: of classes by definition, as the attacks' papers have it, and as the margin."""
    return functional.cross_entropy(logits, labels, reduction="none")


Forward = Callable[[Tensor], Tensor]
"""Points (N, ...) to logits (N, K)."""
LOSSES: dict[str, PerExample] = {"cross-entropy": cross_entropy, "margin": margin}


@nan_where_diverged
def robustness(probe: Probe, *, radii: Sequence[float], steps: int, step_share: float, examples: int) -> list[Value]:
    """Share of ``examples`` test examples that are classified rightly, in [0, 1], in float64.

    ``clean_accuracy`` without an attack; ``attacked_accuracy`` of each ``<attack>/<loss>/<radius>``; ``worst_accuracy`` of
    each ``<radius>``: right without an attack and under all four; ``zero_gradients`` of each ``<loss>``: share of the
    examples whose input gradient is exactly 0 in every component. Where that is not near 0, that loss's attacks understate
    what an attacker can do. Radii are in the units of the inputs, of uint8 pixels in those of their whole range (8/255, say).
    PGD makes ``steps`` steps of ``step_share`` · radius and is judged by the last; its random
    start is a draw of ``probe``, the same for every model, loss and radius. Attacks stay in the range of the data
    (``data_box``).
    """
    model, data = probe.double().requires_grad_(False), as_double(probe.some("test", examples))
    points, forward = continuous(model, data.x)
    unit = unit_of(model, data.x)
    start = torch.rand(points.shape, generator=probe.generator("attack"), dtype=torch.float64).to(points.device) * 2 - 1
    everything = (x for part in probe.examples.values() for x in part.x.split(CHUNK))
    box = Box(*(end.double() for end in data_box(continuous(model, x)[0] for x in everything)))
    found: dict[tuple[str, str], list[Tensor]] = {}
    for index in torch.arange(len(data), device=points.device).split(BATCH):
        attacked = Examples(points[index], data.y[index])
        for key, flags in outcomes(forward, attacked, start[index], box, radii, unit, steps, step_share).items():
            found.setdefault(key, []).append(flags)
    return [Value(measure, part, torch.cat(flags).double().mean().item()) for (measure, part), flags in found.items()]


def outcomes(
    model: Forward,
    data: Examples,
    start: Tensor,
    box: Box,
    radii: Sequence[float],
    unit: Tensor,
    steps: int,
    step_share: float,
) -> dict[tuple[str, str], Tensor]:
    """By (measure, part), what holds of which example: booleans (N,). ``data`` are points, ``start`` has PGD's starts, in
    [-1, 1], ``unit`` is how far 1 reaches in points."""
    x, y = data.x, data.y
    clean = model(x).argmax(1) == y
    found = {("clean_accuracy", ""): clean}
    survivors = {radius: clean for radius in radii}
    for name, loss in LOSSES.items():
        slope = gradient(model, loss, x, y)
        found["zero_gradients", name] = (slope == 0).flatten(1).all(1)
        for radius in radii:
            reach = radius * unit
            ball = ball_in_box(x, reach, box)
            ends = {
                "fgsm": (x + reach * slope.sign()).clamp(*ball),
                "pgd": ascend(model, loss, x + reach * start, y, ball, step_share * reach, steps),
            }
            for attack, point in ends.items():
                right = model(point).argmax(1) == y
                found["attacked_accuracy", f"{attack}/{name}/{radius:.4g}"] = right
                survivors[radius] = survivors[radius] & right
    return found | {("worst_accuracy", f"{radius:.4g}"): flags for radius, flags in survivors.items()}


def ascend(model: Forward, loss: PerExample, start: Tensor, y: Tensor, ball: Box, step: Tensor, steps: int) -> Tensor:
    """``steps`` steps of length ``step`` along the sign of the loss's gradient, put back into the ball after each."""
    point = start.clamp(*ball)
    for _ in range(steps):
        point = (point + step * gradient(model, loss, point, y).sign()).clamp(*ball)
    return point


def ball_in_box(x: Tensor, radius: Tensor, box: Box) -> Box:
    """The part of the ball of the maximum norm around every example that lies in the box."""
    return Box(torch.maximum(x - radius, box.low), torch.minimum(x + radius, box.high))
