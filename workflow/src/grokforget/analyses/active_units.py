"""How many units an example has active."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, nan_where_diverged
from grokforget.models.mlp import Square

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, Square)
"""The modules whose outputs are those of units."""


@nan_where_diverged
def active_units(probe: Probe, *, examples: int, threshold: float) -> list[Value]:
    """The share of units that are active, of ``examples`` examples each of the train set (``retain``) and the test set.

    A unit is one number of the output of an activation (of a convolution: at one place), by whatever function. It is active on an
    example where the output's magnitude is above ``threshold`` times the largest of its layer on that example, so that a scale of
    the weights is nothing to it; with 0 where it is not 0, as the neurons of a ReLU are that let something through.

    ``active_share`` of a set: mean over examples and all units; ``active_share_layer``, part ``<set>/<layer>``: of one layer's.
    ``idle_share`` of a set: the share of all units that are active on none of the examples. A module that is used several times
    counts as often. No rows for a model without activations.
    """
    values: list[Value] = []
    for name, split in (("train", "retain"), ("test", "test")):
        layers = activity(probe.model, probe.some(split, examples).x, threshold)
        if not layers:
            return []
        shares = {layer: active.double().mean().item() for layer, active in layers.items()}
        together = torch.cat(list(layers.values()), dim=1)
        values.append(Value("active_share", name, together.double().mean().item()))
        values.append(Value("idle_share", name, (~together.any(0)).double().mean().item()))
        values += [Value("active_share_layer", f"{name}/{layer}", share) for layer, share in shares.items()]
    return values


@torch.no_grad()
def activity(model: nn.Module, x: Tensor, threshold: float) -> dict[str, Tensor]:
    """By name of the activation which of its units are active on each of the inputs, bool (N, units)."""
    seen: dict[str, list[Tensor]] = {}

    def see(name: str, output: Tensor) -> None:
        size = output.flatten(1).abs()
        seen.setdefault(name, []).append(size > threshold * size.amax(1, keepdim=True))

    def hook(name: str) -> Any:
        return lambda module, inputs, output: see(name, output)

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, ACTIVATIONS)
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts, dim=1) for name, parts in seen.items()}
