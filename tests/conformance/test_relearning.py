"""Relearn time against plain training loops, updates counted by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from conformance import plain
from grokforget.analyses.base import Probe
from grokforget.analyses.relearning import relearning, trained
from grokforget.config.training import OptimizerSpec, RecipeSpec
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification
from grokforget.training.loop import start, train

FEATURES, CLASSES = 6, 3
ADAMW: dict[str, Any] = {
    "name": "adamw",
    "learning_rate": 0.02,
    "weight_decay": 0.3,
    "momentum": 0.0,
    "nesterov": False,
    "sam_rho": 0.0,
    "betas": [0.9, 0.98],
    "schedule": "constant",
    "decay_steps": None,
    "warmup_steps": 0,
    "switches": [],
    "gradient_filter": None,
    "matrix_learning_rate": None,
}


def mlp(seed: int) -> MLP:
    shape = DataShape((FEATURES,), CLASSES)
    model = MLP(shape, hidden=[10], activation="relu", bias=True, initialisation="default").double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model.eval()


def examples(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, FEATURES, generator=generator, dtype=torch.float64)
    return Examples(x, torch.randint(CLASSES, (n,), generator=generator))


FORGET, RETAIN = examples(8, 1), examples(25, 2)


def recipe(**changes: Any) -> RecipeSpec:
    rest = {"evaluations_per_decade": 1, "evaluate_every": 10**9, "snapshots_per_decade": 1, "snapshot_change": 1.0}
    plain = {"augmentation": None, "precision": "float32", "cuda_graph": True, "snapshot_precision": "float32"}
    return RecipeSpec(**({"penalty": None, "batch_size": None, "optimizer": ADAMW, **plain, **rest} | changes))


def probe(model: nn.Module, original: nn.Module, loss: str = "cross-entropy", **changes: Any) -> Probe:
    sets = {"forget": FORGET, "retain": RETAIN, "test": examples(5, 3)}
    return Probe(model, sets, Classification(loss=loss), 11, recipe(**changes), dict(original.state_dict()))


def relearned(model: nn.Module, original: nn.Module, updates: int, tolerance: float = 0.0, **changes: Any) -> dict:
    values = relearning(probe(model, original, **changes), updates=updates, tolerance=tolerance)
    return {(value.measure, value.part): value.value for value in values}


def learnt(loss: str, steps: int) -> MLP:
    """A model that has learnt all of it."""
    model = mlp(0)
    whole = Examples(torch.cat([FORGET.x, RETAIN.x]), torch.cat([FORGET.y, RETAIN.y]))
    splits = {"train": whole, "validation": RETAIN, "test": RETAIN}
    train(start(model, OptimizerSpec(**ADAMW)), splits, recipe(), Classification(loss=loss), seed=0, stop=steps)
    return model.eval()


@pytest.fixture(scope="module")
def original() -> MLP:
    return learnt("cross-entropy", 40)


def forget_path(model: nn.Module, loss: str, updates: int) -> list[tuple[float, float]]:
    """Forget loss and accuracy before and after each update of AdamW on the full batch, in plain arithmetic."""
    weights = plain.weights_of(model)
    x, y = torch.cat([FORGET.x, RETAIN.x]), torch.cat([FORGET.y, RETAIN.y])
    targets = torch.eye(CLASSES, dtype=torch.float64)
    losses = {"cross-entropy": plain.cross_entropy, "mse": lambda z, y: ((z - targets[y]) ** 2).mean()}
    rate, decay, (b1, b2) = ADAMW["learning_rate"], ADAMW["weight_decay"], ADAMW["betas"]
    first = {name: torch.zeros_like(w) for name, w in weights.items()}
    second = {name: torch.zeros_like(w) for name, w in weights.items()}
    path = []
    for update in range(updates + 1):
        z = plain.mlp(weights, FORGET.x)
        path.append((losses[loss](z, FORGET.y).item(), (z.argmax(1) == FORGET.y).double().mean().item()))
        slopes = plain.gradient(lambda w: losses[loss](plain.mlp(w, x), y), weights)
        for name, g in slopes.items():
            first[name] = b1 * first[name] + (1 - b1) * g
            second[name] = b2 * second[name] + (1 - b2) * g * g
            step = first[name] / (1 - b1 ** (update + 1)) / ((second[name] / (1 - b2 ** (update + 1))).sqrt() + 1e-8)
            weights[name] = weights[name] * (1 - rate * decay) - rate * step
    return path


@pytest.mark.parametrize(("loss", "tolerance"), [("cross-entropy", 0.05), ("mse", 0.01)])
def test_updates_are_counted_as_in_plain_arithmetic(loss: str, tolerance: float) -> None:
    original, model = learnt(loss, 40), mlp(5)
    path = forget_path(model, loss, 100)
    before_loss, before_accuracy = forget_path(original, loss, 0)[0]
    expected = {
        "": next(n for n, (value, _) in enumerate(path) if value <= before_loss),
        "near": next(n for n, (value, _) in enumerate(path) if value <= before_loss + tolerance),
        "accuracy": next(n for n, (_, share) in enumerate(path) if share >= before_accuracy),
    }
    assert 1 < expected["near"] < expected[""] < 90, "the case shows something"
    found = relearned(model, original, 100, tolerance, loss=loss)
    for part, updates in expected.items():
        assert found["relearn_updates", part] == updates
        assert found["relearned", part] == 1
    # One fewer is not enough, and exactly as many are.
    last = expected[""]
    assert relearned(model, original, last, loss=loss)["relearned", ""] == 1
    short = relearned(model, original, last - 1, loss=loss)
    assert (short["relearn_updates", ""], short["relearned", ""]) == (last - 1, 0)


def test_what_was_never_lost_takes_no_update(original: MLP) -> None:
    found = relearned(original, original, 5)
    for part in ("", "near", "accuracy"):
        assert (found["relearn_updates", part], found["relearned", part]) == (0, 1)


def test_what_cannot_be_reached_takes_all_updates(original: MLP) -> None:
    still = {**ADAMW, "learning_rate": 1e-12}
    found = relearned(mlp(5), original, 3, optimizer=still)
    for part in ("", "near", "accuracy"):
        assert (found["relearn_updates", part], found["relearned", part]) == (3, 0)


def test_batches_are_those_of_the_recipe_and_each_epoch_sees_every_example_once() -> None:
    seen: list[torch.Tensor] = []

    class Watched(MLP):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.detach().clone())
            return super().forward(x)

    def batches() -> list[torch.Tensor]:
        seen.clear()
        shape = DataShape((FEATURES,), CLASSES)
        model = Watched(shape, hidden=[4], activation="relu", bias=True, initialisation="default").double()
        list(trained(model, probe(model, model, batch_size=10), 8))
        return list(seen)

    first = batches()
    assert [len(batch) for batch in first] == [10, 10, 10, 3] * 2
    whole = torch.cat([FORGET.x, RETAIN.x])
    for epoch in (first[:4], first[4:]):
        assert sorted(torch.cat(epoch)[:, 0].tolist()) == sorted(whole[:, 0].tolist())
    assert not torch.equal(torch.cat(first[:4]), torch.cat(first[4:]))
    assert all(torch.equal(a, b) for a, b in zip(first, batches(), strict=True))


def test_a_decaying_learning_rate_starts_from_the_top_and_without_warm_up(original: MLP) -> None:
    cosine = {**ADAMW, "schedule": "cosine", "decay_steps": 2, "warmup_steps": 3}
    assert relearned(mlp(5), original, 60, optimizer=cosine) == relearned(mlp(5), original, 60)


def test_the_model_is_left_as_it_was(original: MLP) -> None:
    model = mlp(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    relearned(model, original, 10)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_diverged_model_or_original_has_no_relearn_time(value: float, which: int) -> None:
    models = mlp(5), mlp(6)
    with torch.no_grad():
        next(models[which].parameters())[0, 0] = value
    found = relearned(*models, 5)
    assert len(found) == 6
    assert all(math.isnan(number) for number in found.values())


def test_on_batch_norm_a_single_last_example_goes_with_the_batch_before() -> None:
    """33 examples in batches of 8: torch refuses a batch of one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES)).double()
    seen: list[int] = []
    model.register_forward_hook(lambda module, args, output: seen.append(len(output)) if module.training else None)
    assert sum(1 for _ in trained(model, probe(model, model, batch_size=8), 4)) == 5
    assert seen == [8, 8, 8, 9]
