"""Layers that begin with the weights of another model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from grokforget.models.states import State


@torch.no_grad()
def transfer(donor: State, model: nn.Module, layers: Sequence[str]) -> None:
    """Give the parameters and buffers of some layers, or some parameters themselves, the values that the donor has under the same
    names. Raises ValueError for a layer that one of the two does not have, or has in another shape."""
    own = model.state_dict()
    for layer in layers:
        names, theirs = ({name for name in state if f"{name}.".startswith(f"{layer}.")} for state in (own, donor))
        if not names or names != theirs:
            raise ValueError(
                f"the layer {layer!r} to transfer has {sorted(names)} in this model, {sorted(theirs)} in the other one; "
                f"layers here: {', '.join(name for name, _ in model.named_modules() if name)}"
            )
        for name in sorted(names):
            if own[name].shape != donor[name].shape:
                shapes = f"{tuple(own[name].shape)} in this model, {tuple(donor[name].shape)} in the other one"
                raise ValueError(f"{name}, to transfer, is {shapes}")
            own[name].copy_(donor[name])
