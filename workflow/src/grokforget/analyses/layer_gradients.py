"""Gradients of single examples, layer by layer: their lengths and inner products, without forming them where a layer
allows it.

With input a and output gradient δ at L positions, an example's gradient of a linear layer (or of a convolution, after
unfolding) is Σ_l δ_l a_lᵀ; with the bias, a gets a 1 at its end. Lengths and inner products follow from those of the a
and the δ. Of normalisations, which have few parameters, the gradients are sums over positions. Layers of other kinds get
theirs one by one (``torch.func``), for the examples of one call. A text is one example, whose loss is that of its own
answer; where it is padded, δ is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.analyses.base import in_batches
from grokforget.data.loader import Examples
from grokforget.training.objective import Objective

CHUNK_FLOATS = 2**20
"""Numbers of gradients that are formed at a time: 8 MB in float64."""


class Gradients(Protocol):
    """Gradients of n examples with respect to one layer's parameters."""

    def squared_norms(self) -> Tensor:
        """(n,)"""

    def products(self, other: Any) -> Tensor:
        """Inner products (n, m) with those of m examples with respect to the same layer."""


@dataclass(frozen=True)
class Outer(Gradients):
    """Sums over positions of outer products of ``deltas`` (n, L, out) and ``inputs`` (n, L, in)."""

    inputs: Tensor
    deltas: Tensor

    def squared_norms(self) -> Tensor:
        length, n_out, n_in = self.inputs.shape[1], self.deltas.shape[2], self.inputs.shape[2]
        if length * (n_in + n_out) <= n_in * n_out:
            return _squares(self.inputs, self.deltas)
        rows = max(CHUNK_FLOATS // (n_in * n_out), 1)
        chunks = zip(self.inputs.split(rows), self.deltas.split(rows), strict=True)
        return torch.cat([(d.mT @ a).square().sum((1, 2)) for a, d in chunks])

    def products(self, other: Outer) -> Tensor:
        if self.inputs.shape[1] == other.inputs.shape[1] == 1:
            return (self.inputs[:, 0] @ other.inputs[:, 0].T) * (self.deltas[:, 0] @ other.deltas[:, 0].T)
        total = self.deltas.new_zeros(len(self.deltas), len(other.deltas))
        width = max(CHUNK_FLOATS // (self.inputs.shape[2] * (len(self.inputs) + len(other.inputs))), 1)
        for mine, theirs in zip(self.deltas.split(width, 2), other.deltas.split(width, 2), strict=True):
            total += (mine.mT @ self.inputs).flatten(1) @ (theirs.mT @ other.inputs).flatten(1).T
        return total


@dataclass(frozen=True)
class Lookups(Gradients):
    """An embedding's: row ``index`` (n, L) gets ``deltas`` (n, L, width)."""

    index: Tensor
    deltas: Tensor

    def squared_norms(self) -> Tensor:
        same = self.index[:, :, None] == self.index[:, None, :]
        return (same * (self.deltas @ self.deltas.mT)).sum((1, 2))

    def products(self, other: Lookups) -> Tensor:
        rows = []
        for index, deltas in zip(self.index, self.deltas, strict=True):
            same = index[:, None, None] == other.index
            rows.append((same * torch.einsum("ld,mkd->lmk", deltas, other.deltas)).sum((0, 2)))
        return torch.stack(rows)


@dataclass(frozen=True)
class Formed(Gradients):
    """As they are: ``rows`` (n, P)."""

    rows: Tensor

    def squared_norms(self) -> Tensor:
        return self.rows.square().sum(1)

    def products(self, other: Formed) -> Tensor:
        return self.rows @ other.rows.T


def _squares(a: Tensor, d: Tensor) -> Tensor:
    """Σ_lk (a_l·a_k)(δ_l·δ_k), (n,)"""
    return ((a @ a.mT) * (d @ d.mT)).sum((1, 2))


def layers(model: nn.Module) -> dict[str, list[str]]:
    """Names of parameters by layer: the module that owns them, or a parameter of the model itself by its own name."""
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return found


@torch.enable_grad()
def mean_gradient(model: nn.Module, examples: Examples, objective: Objective, chunk: int) -> Tensor:
    """Gradient (P,) of the mean of the examples' losses, layer after layer; ``chunk`` examples at a time, or fewer
    (``in_batches``)."""
    parameters = [model.get_parameter(name) for names in layers(model).values() for name in names]
    forward = getattr(model, "per_example_forward", None)
    total: Tensor | float = 0.0
    for part in in_batches(examples, chunk):
        outputs = forward(part.x) if forward else objective.outputs(model, part)
        loss = objective.example_losses(outputs, part.y).sum() / len(examples)
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        total = total + torch.cat([gradient.flatten() for gradient in found])
    assert isinstance(total, Tensor)
    return total


@torch.enable_grad()
def gradients(model: nn.Module, examples: Examples, objective: Objective) -> dict[str, Gradients]:
    """Every example's gradient of its loss (``Objective.example_losses``), by layer; ``model`` in eval mode, all parameters
    requiring gradients, and a layer's parameters used by its call alone. In memory at once: inputs and outputs of all linear,
    convolutional and embedding layers, and whole gradients with respect to parameters of others."""
    forward: Callable[[Tensor], Tensor] = getattr(model, "per_example_forward", model)
    plain = _plain_layers(model)
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in plain}

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], Tensor]:
        def hook(_: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            calls[name].append((args[0].detach(), output))
            return output.clone()  # an activation that works in place changes the clone

        return hook

    handles = [module.register_forward_hook(record(name)) for name, module in plain.items()]
    try:
        logits = forward(examples.x)
    finally:
        for handle in handles:
            handle.remove()
    n = len(examples)
    once = {name: call[0] for name, call in calls.items() if len(call) == 1 and len(call[0][1]) == n}
    outputs = [output for _, output in once.values()]
    losses = objective.example_losses(logits, examples.y)
    deltas = torch.autograd.grad(losses.sum(), outputs) if outputs else ()
    found = {
        name: _factors(plain[name], inputs, delta)
        for (name, (inputs, _)), delta in zip(once.items(), deltas, strict=True)
    }
    rest = {name: names for name, names in layers(model).items() if name not in found}
    return found | _formed(model, examples, objective, rest)


def _plain_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers whose gradients follow from inputs and outputs, and whose parameters no other module shares."""
    owners = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    return {
        name: module
        for name, module in model.named_modules()
        if name
        and (
            isinstance(module, nn.Linear)
            or (isinstance(module, nn.Embedding) and module.padding_idx is None and not module.scale_grad_by_freq)
            or isinstance(module, nn.LayerNorm | nn.GroupNorm)
            or (isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None)
            or (
                isinstance(module, nn.Conv2d)
                and module.groups == 1
                and module.padding_mode == "zeros"
                and not isinstance(module.padding, str)
            )
        )
        and {"weight"} <= {key for key, _ in module.named_parameters(recurse=False)} <= {"weight", "bias"}
        and all(owners[id(p)] == 1 for p in module.parameters(recurse=False))
    }


def _factors(module: nn.Module, inputs: Tensor, deltas: Tensor) -> Gradients:
    n = len(deltas)
    if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm1d | nn.BatchNorm2d):
        return _of_norm(module, inputs, deltas)
    if isinstance(module, nn.Embedding):
        return Lookups(inputs.reshape(n, -1), deltas.reshape(n, -1, deltas.shape[-1]))
    if isinstance(module, nn.Conv2d):
        unfolded = functional.unfold(inputs, module.kernel_size, module.dilation, module.padding, module.stride)  # type: ignore[arg-type]
        inputs, deltas = unfolded.mT, deltas.flatten(2).mT
    inputs, deltas = inputs.reshape(n, -1, inputs.shape[-1]), deltas.reshape(n, -1, deltas.shape[-1])
    if module.bias is not None:
        inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], dim=-1)
    return Outer(inputs, deltas)


def _of_norm(module: nn.Module, inputs: Tensor, deltas: Tensor) -> Formed:
    """A normalisation multiplies normalised features by its weight and adds its bias: sums over positions, few numbers. A batch
    norm normalises by its running statistics, being in eval mode."""
    match module:
        case nn.LayerNorm():
            normalised = functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
            over = tuple(range(1, inputs.dim() - len(module.normalized_shape)))
        case nn.GroupNorm():
            normalised = functional.group_norm(inputs, module.num_groups, eps=module.eps)
            over = tuple(range(2, inputs.dim()))
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            normalised = functional.batch_norm(inputs, module.running_mean, module.running_var, eps=module.eps)
            over = tuple(range(2, inputs.dim()))
    products = normalised * deltas
    weight, bias = (each.sum(over) if over else each for each in (products, deltas))
    parts = [weight.flatten(1), bias.flatten(1)] if module.bias is not None else [weight.flatten(1)]
    return Formed(torch.cat(parts, dim=1))


class _PerExample(nn.Module):
    """``per_example_forward`` as a module, which ``functional_call`` wants."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.model, "per_example_forward", self.model)(x)


def _formed(
    model: nn.Module, examples: Examples, objective: Objective, rest: dict[str, list[str]]
) -> dict[str, Gradients]:
    if not rest:
        return {}
    wrapped = _PerExample(model)
    others = {name: parameter.detach() for name, parameter in wrapped.named_parameters()}
    chosen = {name: others.pop(name) for name in [f"model.{name}" for names in rest.values() for name in names]}

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        outputs = torch.func.functional_call(wrapped, others | values, (x[None],))
        return objective.example_losses(outputs, y[None])[0]

    size = sum(value.numel() for value in chosen.values())
    one_by_one = torch.func.vmap(
        torch.func.grad(loss), in_dims=(None, 0, 0), chunk_size=max(CHUNK_FLOATS // max(size, 1), 1)
    )
    got = one_by_one(chosen, examples.x, examples.y)
    return {
        name: Formed(torch.cat([got[f"model.{part}"].flatten(1) for part in names], dim=1))
        for name, names in rest.items()
    }
