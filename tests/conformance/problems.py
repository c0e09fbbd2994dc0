"""Small requests in float64, and the paths that methods take from them, for expectations from plain arithmetic."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods.base import Method, Problem
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

FEATURES, CLASSES = 5, 3
Forward = Callable[[plain.Weights, Tensor], Tensor]
TOLERANCE = 1e-9
"""Absolute, in float64; a wrong factor anywhere shows at 1e-6 or more."""


def mlp(seed: int = 0, dtype: torch.dtype = torch.float64) -> MLP:
    model = MLP(DataShape((FEATURES,), CLASSES), hidden=[6], activation="relu", bias=True, initialisation="default").to(
        dtype
    )
    return randomised(model, seed)


def randomised(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def examples(n: int, seed: int, dtype: torch.dtype = torch.float64) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, FEATURES, generator=generator, dtype=torch.float64).to(dtype)
    return Examples(x, torch.randint(CLASSES, (n,), generator=generator))


def problem(
    n_forget: int = 7, n_retain: int = 18, n_validation: int = 9, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Problem:
    sets = [examples(n, 100 * seed + i, dtype) for i, n in enumerate((n_forget, n_retain, n_validation), start=1)]
    return Problem(mlp(seed, dtype), *sets, objective=OBJECTIVE, seed=seed)


def path(method: Method, given: Problem, mode_between: bool | None = None) -> list[plain.Weights]:
    """The weights after every update; the model is put into train or eval mode between updates, as a caller may."""
    steps = []
    for _ in method.run(given):
        steps.append(plain.weights_of(given.model))
        if mode_between is not None:
            given.model.train(mode_between)
    return steps


def difference(a: plain.Weights, b: plain.Weights) -> float:
    assert all(bool(w[name].isfinite().all()) for w in (a, b) for name in a), "NaN compares with nothing"
    return max((a[name] - b[name]).abs().max().item() for name in a)


def assert_same_path(got: list[plain.Weights], expected: list[plain.Weights]) -> None:
    assert len(got) == len(expected)
    apart = [difference(a, b) for a, b in zip(got, expected, strict=True)]
    assert max(apart) < TOLERANCE, f"update {next(i for i, d in enumerate(apart) if d >= TOLERANCE)}: {apart}"
    assert difference(expected[0], expected[-1]) > 1e-6, "a path that goes nowhere tests nothing"


@dataclass
class Call:
    module: nn.Module
    training: bool
    grad: bool
    x: Tensor


def spy(model: nn.Module) -> list[Call]:
    """A record of every forward pass of the model, and of its deep copies."""
    calls: list[Call] = []
    model.register_forward_hook(
        lambda module, args, output: calls.append(Call(module, module.training, torch.is_grad_enabled(), args[0]))
    )
    return calls


def cnn_problem() -> tuple[Problem, Forward]:
    model = randomised(CNN(DataShape((2, 6, 6), CLASSES), channels=[4], kernel_size=3, hidden=5), 4).double()
    assert not model.features[0].weight.is_contiguous()
    generator = torch.Generator().manual_seed(4)
    sets = [
        Examples(torch.randn(n, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(n) % CLASSES)
        for n in (5, 9, 4)
    ]
    frozen = copy.deepcopy(model)
    return Problem(model, *sets, objective=OBJECTIVE, seed=4), lambda w, x: torch.func.functional_call(frozen, w, x)
