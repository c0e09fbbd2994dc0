"""Inputs of a model as points of a real vector space."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def continuous(model: nn.Module, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Inputs as points (N, ...) of a real vector space, and the function from such points to logits.

    Encoded images and one-hot vectors are that already; for tokens they are the embeddings, if the model gives them
    (``embed`` and ``from_embedding``).
    """
    embed, from_embedding = getattr(model, "embed", None), getattr(model, "from_embedding", None)
    if embed and from_embedding:
        return embed(x).detach(), from_embedding
    return x, model
