"""What a language model says of answers alone: the output layer is the most of a small one, and what it says of prompts and
padding nobody reads."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def answer_logits(model: nn.Module, x: Tensor, asked: Tensor) -> Tensor:
    """Logits of the next token at the positions of the texts x (N, T) that are ``asked`` for, (N, T) bool: (asked, V), one text
    behind the other.

    Its output layer is given those positions alone, so nothing that looks at several of them may come behind it. Where the model
    names none, or gives it something else than positions of texts, they are taken out of what it says of all.
    """

    def chosen(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        states = given[0]
        return (states[asked], *given[1:]) if states.shape[:2] == asked.shape and states.dim() == 3 else None

    layer = model.get_submodule(str(getattr(model, "output_layer", "")))
    handle = layer.register_forward_pre_hook(chosen)
    try:
        outputs: Tensor = model(x)
    finally:
        handle.remove()
    return rows_of(outputs, asked)


def rows_of(outputs: Tensor, asked: Tensor) -> Tensor:
    """The outputs at the positions ``asked`` (N, T), (asked, V): of those of all positions, (N, T, V), or as they are where there
    are no others."""
    return outputs[asked] if outputs.dim() == 3 else outputs
