"""Plain arithmetic that the expectations are made of: no torch.optim, no torch.nn, nothing of the package."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def weights_of(model: torch.nn.Module) -> Weights:
    """A copy of every parameter."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def mlp(weights: Weights, x: Tensor) -> Tensor:
    """Logits of one hidden ReLU layer."""
    hidden = (x @ weights["features.0.weight"].T + weights["features.0.bias"]).clamp(min=0)
    return hidden @ weights["output.weight"].T + weights["output.bias"]


def softmax(z: Tensor) -> Tensor:
    powers = z.exp()
    return powers / powers.sum(1, keepdim=True)


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Mean of -log p(y|x) over the examples: -log of 1 / (1 + Σ_{k≠y} exp(z_k - z_y)), which p - 1 would say less exactly."""
    terms = []
    for row, label in zip(z, y.tolist(), strict=True):
        others = [(row[k] - row[label]).exp() for k in range(len(row)) if k != label]
        terms.append(torch.log1p(sum(others)))
    return sum(terms) / len(terms)


def error(weights: Weights, x: Tensor, y: Tensor) -> float:
    return sum(int(row.argmax()) != int(label) for row, label in zip(mlp(weights, x), y, strict=True)) / len(y)


def gradient(loss: Callable[[Weights], Tensor], weights: Weights) -> Weights:
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    return dict(zip(leaves, torch.autograd.grad(loss(leaves), list(leaves.values())), strict=True))


class Sgd:
    """b ← momentum · b + g + weight_decay · w (the first b is g + weight_decay · w); w ← w - lr · b."""

    def __init__(self, momentum: float, weight_decay: float) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.buffers: Weights = {}

    def update(self, weights: Weights, gradients: Weights, lr: float) -> Weights:
        after = {}
        for name, w in weights.items():
            g = gradients[name] + self.weight_decay * w
            self.buffers[name] = self.momentum * self.buffers[name] + g if name in self.buffers else g
            after[name] = w - lr * self.buffers[name]
        return after


class Adam:
    """Adam with L2 weight decay, or with ``decoupled`` AdamW: weights shrink by lr · weight_decay beside it."""

    def __init__(self, weight_decay: float, decoupled: bool) -> None:
        self.weight_decay, self.decoupled = weight_decay, decoupled
        self.first: Weights = {}
        self.second: Weights = {}
        self.n = 0

    def update(self, weights: Weights, gradients: Weights, lr: float) -> Weights:
        self.n += 1
        after = {}
        for name, w in weights.items():
            g = gradients[name] if self.decoupled else gradients[name] + self.weight_decay * w
            if self.decoupled:
                w = w - lr * self.weight_decay * w
            self.first[name] = 0.9 * self.first.get(name, 0) + 0.1 * g
            self.second[name] = 0.999 * self.second.get(name, 0) + 0.001 * g * g
            m = self.first[name] / (1 - 0.9**self.n)
            v = self.second[name] / (1 - 0.999**self.n)
            after[name] = w - lr * m / (v.sqrt() + 1e-8)
        return after
