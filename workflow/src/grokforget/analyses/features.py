"""What a model makes of examples, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from grokforget.analyses.base import are_texts, in_batches
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.models.mlp import ACTIVATIONS

BATCH = 256
"""Examples per forward pass: all activations of a pass are in memory at once."""
OTHERS = (*ACTIVATIONS.values(), nn.GELU, nn.SiLU, nn.Hardswish, nn.ReLU6)
"""Activations that are looked at in a model without ReLU."""
HELD_FLOATS = 2**26
"""Numbers of features that are held for several layers at once: half a gigabyte."""
REPRESENTATION = "representation"
"""Name of what enters the output layer."""
CONSTANT = 1e-20
"""Rows whose variance is below this share of their pool's mean square differ by round-off only."""


def layers(model: nn.Module, texts: bool = False) -> list[str]:
    """Names of all ReLU modules, of other activations where there is none, and ``representation``; of a model of ``texts``
    also of its blocks, the members of a ``ModuleList``, whose outputs are the residual stream behind them."""
    named = dict(model.named_modules())
    found = [name for name, module in named.items() if isinstance(module, nn.ReLU)]
    others = [name for name, module in named.items() if isinstance(module, OTHERS) or of_transformers(module)]
    lists = [(name, module) for name, module in named.items() if isinstance(module, nn.ModuleList)]
    blocks = [f"{name}.{number}" for name, module in lists for number in range(len(module))] if texts else []
    return [*blocks, *(found or others), REPRESENTATION]


def of_transformers(module: nn.Module) -> bool:
    """Whether it is one of the library's own activations, of which models of the hub have most."""
    return type(module).__module__ == "transformers.activations"


def by_layer(model: nn.Module, pools: Mapping[int, Examples]) -> Iterator[tuple[str, dict[int, Tensor]]]:
    """Every layer's name with its features of every pool; as many layers in one pass as ``HELD_FLOATS`` has room for."""
    first = next(iter(pools.values()))
    names = layers(model, are_texts(first))
    example = Examples(first.x[:1], first.y[:1])
    widths = {name: features.shape[1] for name, features in outputs(model, names, example).items()}
    rows = sum(map(len, pools.values()))
    while names:
        floats = accumulate(rows * widths[name] for name in names)
        held = [
            name
            for number, (name, sum_) in enumerate(zip(names, floats, strict=True))
            if not number or sum_ <= HELD_FLOATS
        ]
        features = {key: outputs(model, held, pool) for key, pool in pools.items()}
        for name in held:
            yield name, {key: of_layers.pop(name) for key, of_layers in features.items()}
        names = names[len(held) :]


@torch.no_grad()
def outputs(model: nn.Module, names: Sequence[str], examples: Examples) -> dict[str, Tensor]:
    """Features (N, D) of every example at each of the layers, flattened; of all its calls side by side if there are several.
    Of a text they are one vector: the mean over the positions of its answer, at which the output has to predict something."""
    forward = getattr(model, "per_example_forward", model)
    seen: dict[str, list[Tensor]] = {name: [] for name in names}
    handles = []
    # A clone, since a later layer may work in place.
    for name in names:
        if name == REPRESENTATION:
            last: nn.Module = model.get_submodule(str(model.output_layer))
            hook = last.register_forward_pre_hook(lambda _, args: seen[REPRESENTATION].append(args[0].clone()))
        else:
            hook = model.get_submodule(name).register_forward_hook(
                # Blocks of models of the hub may give more beside the stream.
                lambda _, args, output, name=name: seen[name].append(
                    (output[0] if isinstance(output, tuple) else output).clone()
                )
            )
        handles.append(hook)
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    try:
        for part in in_batches(examples, BATCH):
            forward(part.x)
            for name, calls in seen.items():
                found[name].append(torch.cat([of_each(call, part) for call in calls], dim=1))
                calls.clear()
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def of_each(output: Tensor, examples: Examples) -> Tensor:
    """A layer's output (n, ...), of texts (n, T, ...), as a vector an example, (n, D)."""
    if not are_texts(examples):
        return output.flatten(1)
    answer = examples.y != IGNORED
    return (output.flatten(2) * answer[..., None]).sum(1) / answer.sum(1, keepdim=True).clamp(min=1)
