"""A layer's step and an evaluation with the library that the project chooses, against PyTorch's own choice."""

from __future__ import annotations

import torch

from benchmarks.timing import processor_seconds
from grokforget.models.linear import Linear, onednn_is_faster, twice_differentiable

LAYERS = {"digits MLP, layer 2": (300, 200, 200), "transformer's MLP": (924, 128, 512)}


def run() -> str:
    """Median of 30 steps each, in turn."""
    return "\n".join(ratio(name, *sizes) for name, sizes in LAYERS.items())


def ratio(name: str, rows: int, width: int, outputs: int) -> str:
    layer, x = Linear(width, outputs), torch.randn(rows, width, requires_grad=True)

    def step() -> None:
        layer.zero_grad()
        layer(x).sum().backward()

    def plain() -> None:
        with twice_differentiable():
            step()

    ours, theirs = processor_seconds([step, plain], 30)
    chosen = "oneDNN" if onednn_is_faster() else "PyTorch's own choice, as there is nothing to gain"
    return f"{name}: {1e3 * ours:.2f} ms with {chosen}, {1e3 * theirs:.2f} ms plain, ratio {ours / theirs:.2f}"
