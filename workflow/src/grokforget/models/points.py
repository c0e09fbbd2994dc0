"""Inputs of a model as points of a real vector space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def continuous(model: nn.Module, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Inputs as points (N, ...) of a real vector space, and the function from such points to logits.

    Images of floats, vectors and one-hot vectors are that already; of pixels in uint8 they are the normalised pixels, of tokens
    the embeddings, where the model gives them (``embed`` and ``from_embedding``).
    """
    embed, from_embedding = getattr(model, "embed", None), getattr(model, "from_embedding", None)
    if embed and from_embedding:
        return embed(x).detach(), from_embedding
    return x, model


def unit_of(model: nn.Module, x: Tensor) -> Tensor:
    """How far apart points are whose inputs are 1 apart: of uint8 pixels, whose unit is their whole range, by channel
    (C, 1, 1); 1 of all other inputs, which are points."""
    return 255 / model.get_buffer("std") if x.dtype is torch.uint8 else x.new_ones(())
