"""What a module of a network is: hidden neurons, channels and attention heads, and the layers that they make up.

A unit is a neuron (a row of a hidden linear layer, with its bias), an output channel of a convolution (with its bias), or
an attention head. Weight and bias that a normalisation directly behind a layer has for a neuron or channel are the unit's as
well: without them a batch norm would still hand on a constant for it. A weight belongs to the unit that it leads into. In a
transformer's block the weights that write to the residual stream, whose places are no units, belong to the unit that they come
from: a head is its rows of query, key and value (with their biases, if any) and its columns of merge, and a neuron of the
block's MLP is its row with bias and its column of the way out. The output layer, embeddings (all linear layers and convolutions
beside such blocks), other normalisations and the biases of merge and way out belong to no module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

ATTENTION = (("query", "key", "value", "merge"), ("q_proj", "k_proj", "v_proj", "dense"))
"""Names of a module's layers by which it is an attention, with ``heads`` of its own: the last one's columns are the heads'."""
MLP = (("mlp_in", "mlp_out"), ("fc1", "fc2"))
"""Likewise of the MLP of a transformer's block."""


Kind = Literal["heads", "neurons"]
"""What the units of a layer are; channels are neurons."""


class Part(NamedTuple):
    """A parameter that a layer's units share out among themselves along one of its axes, in equal runs."""

    parameter: str
    axis: int


class Layer(NamedTuple):
    """A hidden layer: its name, how many units it has, and their weights."""

    name: str
    units: int
    parts: tuple[Part, ...]
    kind: Kind = "neurons"


def hidden_layers(model: nn.Module) -> list[Layer]:
    """All layers of units, in the order of the model's modules.

    The model names its output layer in ``output_layer``. Raises ValueError where it has no hidden layer.
    """
    layers: list[Layer] = []
    blocks = any(has(module, ways) for module in model.modules() for ways in ATTENTION)
    norms = norms_behind(model)
    for name, module in model.named_modules():
        if blocks:
            for *into, out in filter(lambda ways: has(module, ways), ATTENTION):
                heads = rows_and_columns(module, name, into, out)
                layers.append(Layer(f"{name}.heads", int(module.heads), heads, "heads"))
            for inner, outer in filter(lambda ways: has(module, ways), MLP):
                width = module.get_submodule(inner).weight.shape[0]
                layers.append(Layer(f"{name}.{inner}", width, rows_and_columns(module, name, [inner], outer)))
        elif isinstance(module, nn.Linear | nn.Conv2d) and name != model.output_layer:
            owners = [name, norms[name]] if name in norms else [name]
            parts = (
                Part(f"{owner}.{key}", 0)
                for owner in owners
                for key, _ in model.get_submodule(owner).named_parameters(recurse=False)
            )
            layers.append(Layer(name, module.weight.shape[0], tuple(parts)))
    if not layers:
        raise ValueError(f"{type(model).__name__} has no hidden linear or convolutional layer, so no modules")
    return layers


def has(module: nn.Module, ways: Sequence[str]) -> bool:
    """Whether a module has layers of all these names."""
    return set(ways) <= {name for name, _ in module.named_children()}


def rows_and_columns(module: nn.Module, name: str, into: Sequence[str], out: str) -> tuple[Part, ...]:
    """The rows, with their biases, of the layers ``into`` of a module of this name, and the columns of its layer ``out``."""
    rows = (Part(f"{name}.{way}.{key}", 0) for way in into for key, _ in module.get_submodule(way).named_parameters())
    return (*rows, Part(f"{name}.{out}.weight", 1))


def norms_behind(model: nn.Module) -> dict[str, str]:
    """By the name of a linear layer or convolution, that of the batch or group norm which is registered directly behind it
    in the same module and has its channels."""
    found: dict[str, str] = {}
    for name, parent in model.named_modules():
        for (layer_name, layer), (norm_name, norm) in pairwise(parent.named_children()):
            if isinstance(layer, nn.Linear | nn.Conv2d) and isinstance(norm, _BatchNorm | nn.GroupNorm):
                channels = norm.num_channels if isinstance(norm, nn.GroupNorm) else norm.num_features
                if channels == layer.weight.shape[0]:
                    prefix = f"{name}." if name else ""
                    found[f"{prefix}{layer_name}"] = f"{prefix}{norm_name}"
    return found


def by_unit(tensor: Tensor, part: Part, units: int, leading: int = 0) -> Tensor:
    """A view of a parameter (or of one with ``leading`` axes in front) as (*leading, units, ...)."""
    return tensor.movedim(leading + part.axis, leading).unflatten(leading, (units, -1))


def pieces(layer: Layer, gradients: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Per-example gradients (N, *shape) by parameter → for each parameter of the layer (N, units, weights of a unit)."""
    return (by_unit(gradients[part.parameter], part, layer.units, 1).flatten(2) for part in layer.parts)
