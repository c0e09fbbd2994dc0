"""StableMax against its formula, and what it is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from conformance import plain
from conformance.problems import mlp
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.training.classification import Classification
from grokforget.training.loop import start, train
from grokforget.training.snapshots import InMemory
from grokforget.training.stablemax import StableMax, log_stable

GENERATOR = torch.Generator().manual_seed(1)
EXAMPLES = Examples(torch.randn(12, 5, generator=GENERATOR, dtype=torch.float64), torch.arange(12) % 3)
OBJECTIVE = StableMax()


def s(z: float) -> float:
    return z + 1 if z >= 0 else 1 / (1 - z)


def stablemax(z: Tensor, y: Tensor) -> Tensor:
    """Mean of -log (s(z_y) / Σ_k s(z_k)), by powers and quotients alone."""
    terms = []
    for row, label in zip(z, y.tolist(), strict=True):
        values = [one + 1 if one >= 0 else 1 / (1 - one) for one in row]
        terms.append(-torch.log(values[label] / sum(values)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("z", [-1e6, -3.0, -0.5, 0.0, 0.25, 1.0, 1e6])
def test_s_and_its_slope_by_hand(z: float) -> None:
    """1 above 0, 1 / (1 - z)² below, and 1 at 0; at z = 1 the branch that is not taken has no finite slope."""
    leaf = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    value = log_stable(leaf).exp()
    assert value.item() == pytest.approx(s(z), rel=1e-9)
    (slope,) = torch.autograd.grad(value, leaf)
    assert slope.item() == pytest.approx(1.0 if z >= 0 else 1 / (1 - z) ** 2, rel=1e-9)


def test_the_loss_and_its_gradient_are_those_of_the_formula() -> None:
    z = 4 * torch.randn(20, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y = torch.arange(20) % 7
    leaf, plain_leaf = (z.clone().requires_grad_() for _ in range(2))
    ours, theirs = OBJECTIVE.training_loss(leaf, y), stablemax(plain_leaf, y)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(*one)[0] for one in ((ours, leaf), (theirs, plain_leaf))))


def test_every_update_follows_it() -> None:
    settings = TrainingSettings.model_validate(
        {
            "loss": "stablemax",
            "optimizer": {"name": "sgd", "learning_rate": 0.2},
            "steps": 5,
            "segment_steps": 5,
            "evaluate_every": 1,
            "snapshots_per_decade": 100,
        }
    )
    recipe, snapshots = settings.recipe(), InMemory()
    splits = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
    state = start(mlp(), recipe.optimizer)
    segment = train(state, splits, recipe, settings.objective().build(), seed=0, stop=5, on_snapshot=snapshots.keep)
    for step in range(5):
        weights = snapshots.states[step]
        assert segment.curve[step]["train_loss"] == pytest.approx(
            stablemax(plain.mlp(weights, EXAMPLES.x), EXAMPLES.y).item(), rel=1e-9
        )
        g = plain.gradient(lambda w: stablemax(plain.mlp(w, EXAMPLES.x), EXAMPLES.y), weights)
        for name, value in g.items():
            torch.testing.assert_close(
                snapshots.states[step + 1][name], weights[name] - 0.2 * value, rtol=0, atol=1e-10
            )


def test_the_gradient_goes_on_where_that_of_softmax_is_absorbed() -> None:
    """At a margin of 1,000, float32: softmax leaves nothing, StableMax about 1 / (1001 · 1002)."""
    z, y = torch.tensor([[1000.0, 0.0]]), torch.tensor([0])
    found = []
    for loss in (functional.cross_entropy, OBJECTIVE.training_loss):
        leaf = z.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf, y), leaf)
        found.append(gradient[0].tolist())
    assert found[0] == [0.0, 0.0]
    assert found[1] == pytest.approx([-1 / (1001 * 1002), 1 / 1002], rel=1e-5)
    assert OBJECTIVE.training_loss(z, y).dtype is torch.float32


def test_all_else_is_as_of_any_model_of_classes() -> None:
    z, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(3)), torch.arange(6) % 3
    other = Classification(loss="mse")
    for name in ("unlearning_loss", "example_losses", "confidences", "correct"):
        assert torch.equal(getattr(OBJECTIVE, name)(z, y), getattr(other, name)(z, y))
    assert math.isfinite(OBJECTIVE.training_loss(1e30 * z, y).item())
