"""One training step of the one-layer transformer at p = 97: one query and gathered keys and values against all positions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import seconds
from grokforget.data.shape import DataShape
from grokforget.models.transformer import Transformer
from grokforget.training.optimizers import adamw

MODULUS, FRACTION = 97, 0.4


def run() -> str:
    """Median of 15 steps each, in turn, with the same parameters and loss."""
    torch.manual_seed(0)
    model = Transformer(DataShape((2,), MODULUS, MODULUS), layers=1, width=128, heads=4, mlp_width=512)
    pairs = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS))
    x = pairs[torch.randperm(len(pairs))[: round(FRACTION * len(pairs))]]
    y = x.sum(1) % MODULUS
    optimizer = adamw(model.parameters(), 1e-3, 1.0)

    def step(forward: Callable[[Tensor], Tensor]) -> None:
        optimizer.zero_grad()
        functional.cross_entropy(forward(x), y).backward()
        optimizer.step()

    with torch.no_grad():
        difference = (model(x) - model.forward_plain(x)).abs().max().item()
    fast, plain = (
        seconds(lambda forward=forward: step(forward), 15) for forward in (model.forward, model.forward_plain)
    )
    return (
        f"transformer step, p = {MODULUS}, n = {len(x)}: one query {1e3 * fast:.1f} ms, all positions {1e3 * plain:.1f} ms, "
        f"ratio {fast / plain:.3f} (at most 0.25), largest difference of the logits {difference:.1e}"
    )
