"""How much the loss rises near by, against the formula in NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.sharpness import sharpness
from grokforget.data.loader import Examples
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="mse")


def linear(seed: int = 0) -> nn.Module:
    """Without a bias, and with a norm that has seen data."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3, bias=False))


def examples(n: int, seed: int = 1) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    return Examples(torch.randn(n, 4, generator=generator), torch.arange(n) % 3)


def probe(model: nn.Module, retain: int = 20) -> Probe:
    sets = {name: examples(5, seed) for seed, name in enumerate(("forget", "validation", "test"))}
    return Probe(model.eval(), {**sets, "retain": examples(retain)}, OBJECTIVE, 0, None)


def measured(given: Probe, size: int = 512, radius: float = 0.05) -> dict[str, float]:
    values = sharpness(given, examples=size, radius=radius)
    assert {value.part for value in values} == {""}
    return {value.measure: value.value for value in values}


def loss(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(-log_softmax(x @ weight.T, 1)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_it_is_the_rise_at_the_radius_along_the_gradient(radius: float) -> None:
    given = probe(linear())
    weight = given.model[1].weight.detach().double().numpy()  # type: ignore[index]
    x, y = (part.double().numpy() for part in (given.examples["retain"].x, given.examples["retain"].y))
    y = y.astype(int)
    gradient = (softmax(x @ weight.T, 1) - np.eye(3)[y]).T @ x / len(y)
    gradient /= np.linalg.norm(gradient)
    found = measured(given, radius=radius)
    for name, rho in (("sharpness", radius), ("relative_sharpness", radius * np.linalg.norm(weight))):
        expected = loss(weight + rho * gradient, x, y) - loss(weight, x, y)
        assert found[name] == pytest.approx(expected, rel=1e-9)
        assert found[name] > 0


def test_it_is_near_the_most_that_the_loss_rises_within_a_small_radius() -> None:
    given = probe(linear())
    weight = given.model[1].weight.detach().double().numpy()  # type: ignore[index]
    x, y = given.examples["retain"].x.double().numpy(), given.examples["retain"].y.numpy()
    steps = np.random.default_rng(0).normal(size=(4000, *weight.shape))
    steps *= 0.01 / np.linalg.norm(steps, axis=(1, 2), keepdims=True)
    rises = [loss(weight + step, x, y) - loss(weight, x, y) for step in steps]
    assert 0.7 < max(rises) / measured(given, radius=0.01)["sharpness"] <= 1.001


def test_weights_modes_and_gradients_stay_as_they_were() -> None:
    given = probe(nn.Sequential(linear(), nn.BatchNorm1d(3)))
    before = copy.deepcopy(given.model.state_dict())
    assert measured(given) == measured(given), "no dropout, no batch statistics"
    for name, value in given.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(module.training for module in given.model.modules())
    assert all(p.grad is None for p in given.model.parameters())


def test_it_looks_at_so_many_retain_examples() -> None:
    few, all_of_them = (measured(probe(linear(), retain=60), size) for size in (10, 60))
    assert few != all_of_them
    alone = probe(linear(), retain=60)
    drawn = Probe(alone.model, {**alone.examples, "retain": alone.some("retain", 10)}, OBJECTIVE, 0, None)
    assert measured(drawn) == few


def test_relative_sharpness_is_the_same_for_a_model_scaled_by_its_weights_where_predictions_are() -> None:
    """Scale-invariant: outputs are those of normalised weights."""

    class Normalised(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(scale * torch.randn(3, 4, generator=torch.Generator().manual_seed(2)))

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.weight / self.weight.norm()).T

    small, large = (measured(probe(Normalised(scale))) for scale in (1.0, 10.0))
    assert small["relative_sharpness"] == pytest.approx(large["relative_sharpness"], rel=1e-5)
    assert small["sharpness"] > 2 * large["sharpness"]
