"""Sharpness-aware minimisation against its formula, and what it must leave as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification
from grokforget.training.loop import start, train
from grokforget.training.sam import sharpness_aware
from grokforget.training.snapshots import InMemory

STEPS, RHO, RATE = 4, 0.3, 0.1


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


EXAMPLES = Examples(gaussian(12, 5), torch.arange(12) % 3)


def mlp(seed: int = 0) -> MLP:
    model = MLP(DataShape((5,), 3), hidden=[6], activation="relu", bias=True, initialisation="default").double()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(0.5 * gaussian(*parameter.shape, seed=10 * seed + number))
    return model


def settings(loss: str, **optimizer: Any) -> TrainingSettings:
    rest = {"loss": loss, "steps": STEPS, "segment_steps": STEPS, "evaluate_every": 1, "snapshots_per_decade": 100}
    return TrainingSettings.model_validate({**rest, "optimizer": {"learning_rate": RATE, **optimizer}})


def trained(given: TrainingSettings) -> list[plain.Weights]:
    """The weights before the first and after every update."""
    recipe, objective, snapshots = given.recipe(), given.objective().build(), InMemory()
    splits = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
    state = start(mlp(), recipe.optimizer)
    train(state, splits, recipe, objective, seed=0, stop=STEPS, on_snapshot=snapshots.keep)
    return [snapshots.states[step] for step in range(STEPS + 1)]


def plain_loss(name: str, weights: plain.Weights) -> Tensor:
    logits = plain.mlp(weights, EXAMPLES.x)
    if name == "cross-entropy":
        return plain.cross_entropy(logits, EXAMPLES.y)
    target = torch.eye(3, dtype=torch.float64)[EXAMPLES.y]
    return ((logits - target) ** 2).sum() / logits.numel()


def plain_gradient(name: str, weights: plain.Weights, rho: float) -> plain.Weights:
    g = plain.gradient(lambda w: plain_loss(name, w), weights)
    norm = math.sqrt(sum(float((value**2).sum()) for value in g.values()))
    uphill = {key: weights[key] + rho * g[key] / norm for key in g}
    return plain.gradient(lambda w: plain_loss(name, w), uphill)


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_update_is_the_base_optimizers_with_the_gradient_from_uphill(optimizer: str, loss: str) -> None:
    decay = 0.1
    own = {"momentum": 0.9} if optimizer == "sgd" else {}
    reference = plain.Sgd(0.9, decay) if optimizer == "sgd" else plain.Adam(decay, decoupled=optimizer == "adamw")
    got = trained(settings(loss, name=optimizer, weight_decay=decay, sam_rho=RHO, **own))
    weights = got[0]
    for after in got[1:]:
        weights = reference.update(weights, plain_gradient(loss, weights, RHO), RATE)
        for key, value in weights.items():
            torch.testing.assert_close(after[key], value, rtol=0, atol=1e-9)
    without = trained(settings(loss, name=optimizer, weight_decay=decay, **own))
    assert max((got[-1][key] - without[-1][key]).abs().max() for key in without[-1]) > 1e-5, "ρ must matter"


class Watched:
    """Where the gradient is taken, and what the model is like then."""

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor) -> None:
        self.model, self.x, self.y = model, x, y
        self.at: list[plain.Weights] = []

    def __call__(self) -> None:
        self.at.append(plain.weights_of(self.model))
        self.model.zero_grad()
        Classification(loss="cross-entropy").training_loss(self.model(self.x), self.y).backward()


@pytest.mark.parametrize("rho", [0.05, 50.0])
def test_the_second_gradient_is_taken_at_the_radius_and_the_weights_come_back_to_the_bit(rho: float) -> None:
    model = mlp().float()
    gradient = Watched(model, EXAMPLES.x.float(), EXAMPLES.y)
    before = plain.weights_of(model)
    sharpness_aware(model, rho, gradient)
    first, second = gradient.at
    assert all(torch.equal(first[key], before[key]) for key in before)
    assert all(torch.equal(value, before[key]) for key, value in plain.weights_of(model).items())
    distance = math.sqrt(sum(((second[key] - before[key]).double() ** 2).sum().item() for key in before))
    assert distance == pytest.approx(rho, rel=1e-4)


def test_a_gradient_of_zero_is_no_direction_uphill() -> None:
    model = mlp()
    gradient = Watched(model, 0 * EXAMPLES.x, EXAMPLES.y)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    # Equally many of each class: without inputs the constant prediction is the best there is.
    sharpness_aware(model, 0.05, gradient)
    assert all(bool((value.abs() < 1e-3).all()) for value in gradient.at[1].values())


def batch_normed() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)).double()


def test_running_statistics_are_those_of_the_first_pass_alone() -> None:
    model, once = batch_normed(), batch_normed()
    sharpness_aware(model, 1.0, Watched(model, EXAMPLES.x, EXAMPLES.y))
    once(EXAMPLES.x)
    for name, value in once.named_buffers():
        assert torch.equal(dict(model.named_buffers())[name], value), name
    assert model[1].num_batches_tracked == 1
    assert model[1].track_running_stats
    model(EXAMPLES.x + 1)
    assert model[1].num_batches_tracked == 2, "it goes on afterwards"


def test_the_second_pass_normalises_with_its_own_batch() -> None:
    model, uphill = batch_normed(), batch_normed()
    sharpness_aware(model, 1.0, Watched(model, EXAMPLES.x, EXAMPLES.y))
    gradient = Watched(uphill, EXAMPLES.x, EXAMPLES.y)
    gradient()
    norm = math.sqrt(sum(float((p.grad**2).sum()) for p in uphill.parameters()))
    with torch.no_grad():
        for p in uphill.parameters():
            p += p.grad / norm
    gradient()
    for p, q in zip(model.parameters(), uphill.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=1e-12)


def test_a_batch_norm_that_was_in_eval_mode_uses_its_running_statistics_in_both_passes() -> None:
    model = batch_normed()
    model(EXAMPLES.x)
    model[1].eval()
    gradient = Watched(model, EXAMPLES.x, EXAMPLES.y)
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    model[0].register_forward_hook(lambda module, args, output: inputs.append(output.detach()))
    model[1].register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
    sharpness_aware(model, 0.2, gradient)
    mean, variance = model[1].running_mean, model[1].running_var
    for x, out, weights in zip(inputs, outputs, gradient.at, strict=True):
        expected = (x - mean) / (variance + 1e-5).sqrt() * weights["1.weight"] + weights["1.bias"]
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
