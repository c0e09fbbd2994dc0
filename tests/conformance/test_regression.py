"""The objective of models that predict numbers against plain calculation, and the accuracy of guessing."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from conformance import plain
from conformance.problems import randomised
from grokforget.config.data_settings.polynomial import Polynomial
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.training.loop import start, train
from grokforget.training.regression import Regression
from grokforget.training.snapshots import InMemory
from grokforget.training.state import load_training, save_training

GENERATOR = torch.Generator().manual_seed(1)
EXAMPLES = Examples(torch.randn(12, 5, generator=GENERATOR), torch.randn(12, 1, generator=GENERATOR))
SPLITS = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
OUTPUTS = torch.tensor([[0.0], [1.0], [-2.0], [math.nan]])
TARGETS = torch.tensor([[0.25], [1.0], [-1.5], [0.0]])
PHI = NormalDist().cdf


def settings(**more: object) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {
            "loss": "squared-error",
            "optimizer": {"name": "sgd", "learning_rate": 0.05},
            "steps": 8,
            "segment_steps": 8,
            "evaluate_every": 1,
            "snapshots_per_decade": 100,
            **more,
        }
    )


def model(seed: int = 0) -> MLP:
    return randomised(MLP(DataShape((5,), 1), hidden=[6], activation="relu", bias=True, initialisation="default"), seed)


def squared(weights: plain.Weights) -> Tensor:
    errors = [output[0] - target[0] for output, target in zip(plain.mlp(weights, EXAMPLES.x), EXAMPLES.y, strict=True)]
    return sum(error * error for error in errors) / len(errors)


def test_losses_and_what_is_right_by_hand() -> None:
    """Errors of a quarter, none, a half, and of an output that is no number."""
    objective = Regression(tolerance=0.25)
    assert objective.training_loss(OUTPUTS[:3], TARGETS[:3]).item() == pytest.approx((1 / 16 + 0 + 1 / 4) / 3)
    assert objective.example_losses(OUTPUTS[:3], TARGETS[:3]).tolist() == pytest.approx([1 / 32, 0, 1 / 8])
    assert objective.unlearning_loss(OUTPUTS[:3], TARGETS[:3]).item() == pytest.approx((1 / 32 + 1 / 8) / 3)
    assert objective.correct(OUTPUTS, TARGETS).tolist() == [True, True, False, False]
    assert Regression(tolerance=0.5).correct(OUTPUTS, TARGETS).tolist() == [True, True, True, False]
    assert math.isnan(objective.training_loss(OUTPUTS, TARGETS).item())
    with pytest.raises(NotImplementedError, match="no probability"):
        objective.confidences(OUTPUTS, TARGETS)


def test_every_update_follows_the_squared_error_and_accuracy_is_the_share_within_the_tolerance() -> None:
    given = settings(tolerance=0.7)
    recipe, snapshots = given.recipe(), InMemory()
    state = start(model(), recipe.optimizer)
    segment = train(state, SPLITS, recipe, given.objective().build(), seed=0, stop=5, on_snapshot=snapshots.keep)
    shares = set()
    for step in range(5):
        weights, row = snapshots.states[step], segment.curve[step]
        assert row["train_loss"] == pytest.approx(squared(weights).item(), rel=1e-5)
        off = (plain.mlp(weights, EXAMPLES.x) - EXAMPLES.y).abs()[:, 0].tolist()
        assert row["test_accuracy"] == sum(error <= 0.7 for error in off) / 12
        shares.add(row["test_accuracy"])
        for name, value in plain.gradient(squared, weights).items():
            torch.testing.assert_close(snapshots.states[step + 1][name], weights[name] - 0.05 * value)
    assert len(shares) > 1


def test_a_run_that_is_cut_is_the_uncut_one_to_the_bit(tmp_path: Path) -> None:
    given = settings(batch_size=5, optimizer={"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0.3})
    recipe, objective = given.recipe(), given.objective().build()
    whole, cut = (start(model(), recipe.optimizer) for _ in range(2))
    curve = train(whole, SPLITS, recipe, objective, seed=3, stop=8).curve
    rows = []
    for stop in (3, 8):
        rows += train(cut, SPLITS, recipe, objective, seed=3, stop=stop).curve
        save_training(tmp_path / "state", cut)
        cut = load_training(tmp_path / "state", model(seed=9), recipe.optimizer)
    assert rows == curve
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, cut.model.state_dict()[name]), name


@pytest.mark.parametrize("tolerance", [0.05, 0.1, 0.3])
def test_guessing_is_right_as_often_as_the_best_constant(tolerance: float) -> None:
    """Of degree 1 the mean of a normal distribution; of degree 2, (z² - 1)/√2, what is just above its lower end, where its
    density is largest: z² ≤ 2√2 times the tolerance."""
    chances = [Polynomial(dimensions=3, degree=k, train=1).chance(tolerance) for k in (1, 2)]
    assert chances[0] == pytest.approx(2 * PHI(tolerance) - 1, abs=2e-4)
    assert chances[1] == pytest.approx(2 * PHI(math.sqrt(2 * math.sqrt(2) * tolerance)) - 1, abs=2e-4)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_no_constant_beats_guessing_on_the_examples_themselves(degree: int) -> None:
    """Within what 20,000 of them scatter, and one constant is as good."""
    data = Polynomial(dimensions=3, degree=degree, train=10_000, validation=5_000, test=5_000)
    values = torch.from_numpy(data.spec().build().examples().targets[:, 0])
    shares = [(values - guess).abs().le(0.1).double().mean().item() for guess in torch.arange(-2, 2, 0.01)]
    assert max(shares) == pytest.approx(data.chance(0.1), abs=0.012)
