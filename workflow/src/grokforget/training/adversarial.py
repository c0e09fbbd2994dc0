"""Steps along the input gradient of a loss, within the range of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

PerExample = Callable[[Tensor, Tensor], Tensor]
"""A loss of logits (N, K) and labels (N,): one number an example, (N,)."""


class Box(NamedTuple):
    """Smallest and largest value of every input, as tensors that broadcast against inputs."""

    low: Tensor
    high: Tensor


def gradient(forward: Callable[[Tensor], Tensor], loss: PerExample, x: Tensor, y: Tensor) -> Tensor:
    """Of each example's loss by its own input, in the inputs' shape; ``forward`` gives the logits of inputs."""
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(loss(forward(leaf), y).sum(), leaf)[0]


def data_box(parts: Iterable[Tensor]) -> Box:
    """The range of all examples (n, ...) of the parts, in their dtype: [0, 1] for digits. By channel for images
    (n, C, H, W), which may be normalised by channel, and one for all inputs otherwise."""

    def ends(x: Tensor) -> tuple[Tensor, Tensor]:
        over = (0, 2, 3) if x.ndim == 4 else tuple(range(x.ndim))
        return x.amin(over, keepdim=True), x.amax(over, keepdim=True)

    lows, highs = zip(*(ends(x) for x in parts if len(x)), strict=True)
    return Box(torch.stack(lows).amin(0), torch.stack(highs).amax(0))
