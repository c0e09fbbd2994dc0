"""The exact diagonal of the Fisher information, in K backward passes over whole batches.

F_j = 1/N Σ_x Σ_y p(y|x) (∂_j[-log p(y|x)])². Squaring the gradient of a batch mean, as is often seen, gives another
quantity. The sum is over classes: it is defined for classification. The per-example gradients are never formed where a
layer sees an example once: for a linear layer with input a and output gradient δ, Σ_n (δ_no a_ni)² = (δ²)ᵀ(a²). Where it
sees an example at L positions (a convolution after
unfolding, a token's layer), the gradient is a sum over positions, and for small L its square is expanded into L(L+1)/2
such products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.loader import Examples
from grokforget.training.modes import in_eval_mode

EXPANDED_POSITIONS = 4
"""Up to so many positions L the square is expanded; above, per-example gradients (N, out, in) are formed in chunks."""
CHUNK_FLOATS = 2**22
"""Largest number of floats of such a chunk: 16 MB stays near the cache."""


@dataclass
class _Call:
    """One use of a layer: what went in, and its output in the graph."""

    module: nn.Module
    inputs: Tensor
    output: Tensor


@torch.enable_grad()
def fisher_diagonal(model: nn.Module, examples: Examples, batch_size: int = 1024) -> dict[str, Tensor]:
    """F for every parameter, shaped as it is, by name; eval mode.

    A model whose ``forward`` shares work between examples offers ``per_example_forward``. Raises TypeError for a
    parameter that belongs to no linear, convolutional or embedding layer or is shared by two, and for a layer that is
    not called exactly once: their squares would be wrong.
    """
    names = {id(module): name for name, module in model.named_modules() if _covered(module)}
    covered = {f"{name}.{key}" for module, name in _layers(model) for key, _ in module.named_parameters(recurse=False)}
    own = {name for name, _ in model.named_parameters()}
    if own != covered:
        raise TypeError(
            f"no exact Fisher diagonal for {', '.join(sorted(own ^ covered))}: "
            "shared, or of a layer neither linear, convolutional nor embedding"
        )
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    forward: Callable[[Tensor], Tensor] = getattr(model, "per_example_forward", model)
    with in_eval_mode(model):
        for x in examples.x.split(batch_size):
            calls, logits = _recorded(model, forward, x)
            for layer, name in _layers(model):
                used = sum(call.module is layer for call in calls)
                if used != 1:
                    raise TypeError(f"no exact Fisher diagonal: {name} is called {used} times; allowed: once")
            log_p = functional.log_softmax(logits, 1)
            # √p(y|x) on each example's gradient is p(y|x) on its square.
            weight = (log_p.detach() / 2).exp()
            squares = [_Squares(call) for call in calls]
            for y in range(logits.shape[1]):
                objective = (weight[:, y] * log_p[:, y]).sum()
                gradients = torch.autograd.grad(objective, [call.output for call in calls], retain_graph=True)
                for square, gradient in zip(squares, gradients, strict=True):
                    for key, value in square(gradient):
                        total[f"{names[id(square.call.module)]}.{key}"] += value
    return {name: value / len(examples) for name, value in total.items()}


def _covered(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)


def _layers(model: nn.Module) -> Iterable[tuple[nn.Module, str]]:
    return [(module, name) for name, module in model.named_modules() if _covered(module)]


def _recorded(model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> tuple[list[_Call], Tensor]:
    calls: list[_Call] = []
    handles = [
        module.register_forward_hook(lambda module, args, output: calls.append(_Call(module, args[0], output)))
        for module, _ in _layers(model)
    ]
    try:
        logits = forward(x)
    finally:
        for handle in handles:
            handle.remove()
    return calls, logits


class _Squares:
    """Σ_n (per-example gradient)² of one layer's parameters, from the gradient of its output."""

    def __init__(self, call: _Call) -> None:
        self.call = call
        module, inputs = call.module, call.inputs.detach()
        if isinstance(module, nn.Conv2d):
            if module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
                raise TypeError("no exact Fisher diagonal for a grouped or specially padded convolution")
            unfolded = functional.unfold(
                inputs,
                module.kernel_size,
                module.dilation,
                module.padding,
                module.stride,
            )
            self.inputs = unfolded.transpose(1, 2)  # (N, L, in)
        elif isinstance(module, nn.Embedding):
            self.inputs = inputs
        else:
            self.inputs = inputs.unflatten(0, (len(inputs), -1)) if inputs.dim() == 2 else inputs.flatten(1, -2)

    def __call__(self, gradient: Tensor) -> Iterable[tuple[str, Tensor]]:
        module = self.call.module
        if isinstance(module, nn.Embedding):
            return [("weight", self._embedding(module, gradient))]
        if isinstance(module, nn.Conv2d):
            gradient = gradient.flatten(2).transpose(1, 2)
        else:
            gradient = gradient.unflatten(0, (len(gradient), -1)) if gradient.dim() == 2 else gradient.flatten(1, -2)
        weight: Tensor = module.weight  # type: ignore[assignment]
        parts = [("weight", self._products(gradient).view(weight.shape))]
        if module.bias is not None:
            parts.append(("bias", (gradient.sum(1) ** 2).sum(0)))
        return parts

    def _products(self, gradient: Tensor) -> Tensor:
        """Σ_n (Σ_l δ_nlo a_nli)², (out, in)."""
        inputs, positions = self.inputs, gradient.shape[1]
        if positions <= EXPANDED_POSITIONS:
            total = gradient.new_zeros(gradient.shape[2], inputs.shape[2])
            for i in range(positions):
                for j in range(i + 1):
                    product = (gradient[:, i] * gradient[:, j]).T @ (inputs[:, i] * inputs[:, j])
                    total += product if i == j else 2 * product
            return total
        rows = max(CHUNK_FLOATS // (gradient.shape[2] * inputs.shape[2]), 1)
        chunks = zip(gradient.split(rows), inputs.split(rows), strict=True)
        return torch.stack([(d.transpose(1, 2) @ a).square_().sum(0) for d, a in chunks]).sum(0)

    def _embedding(self, module: nn.Embedding, gradient: Tensor) -> Tensor:
        """Rows that an example uses at several positions get the square of the sum over those positions."""
        index, gradient = self.inputs.flatten(1), gradient.flatten(1, -2)  # (N, L), (N, L, d)
        same = index[:, :, None] == index[:, None, :]
        first = same.tril(-1).any(2).logical_not()  # one position stands for all that share its row
        summed = (same.to(gradient.dtype) @ gradient) * first[..., None]
        return torch.zeros_like(module.weight).index_add_(0, index.flatten(), (summed**2).flatten(0, 1))
