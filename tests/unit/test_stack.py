"""Runs that take their steps together are what they are by themselves, but for the order in which numbers are added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.loop import Run, Segment, start, train_run
from grokforget.training.snapshots import InMemory
from grokforget.training.stack import Stack, alike, train_stacked

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 60
IMAGES, TOKENS = DataShape((1, 8, 8), 3), DataShape((2,), 7, vocabulary=8)
PLAIN: dict[str, Any] = {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 0.3}
MODELS: dict[str, tuple[DataShape, Callable[[DataShape], nn.Module]]] = {
    "relu": (IMAGES, lambda shape: MLP(shape, hidden=[12, 9], activation="relu", bias=True, initialisation="default")),
    "quadratic": (
        TOKENS,
        lambda shape: MLP(shape, hidden=[12], activation="quadratic", bias=False, initialisation="normal"),
    ),
    "cnn": (IMAGES, lambda shape: CNN(shape, channels=[3, 4], kernel_size=3, hidden=8)),
    "transformer": (TOKENS, lambda shape: Transformer(shape, layers=1, width=12, heads=2, mlp_width=16)),
}


def run(
    kind: str = "quadratic",
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    n: int = 40,
    stop: int = STEPS,
    loss: str = "cross-entropy",
    batch_size: int | None = None,
    **optimizer: Any,
) -> Run:
    """A run at its beginning; what is learned does not matter."""
    shape, build = MODELS[kind]
    settings = TrainingSettings.model_validate(
        {"loss": loss, "optimizer": {**PLAIN, **optimizer}, "steps": STEPS, "segment_steps": STEPS}
        | {"evaluate_every": 10, "snapshots_per_decade": 2, "batch_size": batch_size}
    )
    torch.manual_seed(seed)
    model = build(shape).to(dtype)
    splits = {}
    for name, size in (("train", n), ("validation", 10), ("test", 10)):
        drawn = torch.Generator().manual_seed(100 * seed + size)
        tokens, images = (
            torch.randint(0, 7, (size, 2), generator=drawn),
            torch.randn(size, 1, 8, 8, generator=drawn),
        )
        given = model.encode(tokens if shape is TOKENS else images)
        splits[name] = Examples(
            given.to(dtype) if given.is_floating_point() else given, torch.randint(0, 3, (size,), generator=drawn)
        )
    recipe = settings.recipe()
    state, objective = start(model, recipe.optimizer), settings.objective().build()
    return Run(state, splits, recipe, objective, seed=seed, stop=stop, on_snapshot=InMemory().keep)


def rows(segment: Segment) -> list[dict[str, Any]]:
    return segment.curve


def compare(stacked: Sequence[Run], apart: Sequence[Run], tolerance: float = 1e-9) -> None:
    """Curves and weights of runs, after all steps."""
    train_stacked(stacked)
    for ours, theirs in zip(stacked, apart, strict=True):
        train_run(theirs)
        assert ours.segment.snapshots == theirs.segment.snapshots
        for mine, its in zip(rows(ours.segment), rows(theirs.segment), strict=True):
            assert mine == pytest.approx(its, rel=tolerance, abs=tolerance, nan_ok=True)
        for name, weight in ours.state.model.state_dict().items():
            torch.testing.assert_close(
                weight, theirs.state.model.state_dict()[name], rtol=tolerance, atol=tolerance, equal_nan=True
            )


DIFFERENT = [
    {"seed": 0},
    {"seed": 1, "weight_decay": 3.0},
    {"seed": 2, "learning_rate": 1e-3, "schedule": "cosine", "decay_steps": 50},
]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("batch_size", [None, 12], ids=["whole", "batches"])
def test_curves_and_weights_are_those_of_runs_apart(kind: str, batch_size: int | None) -> None:
    both = [[run(kind, batch_size=batch_size, **each) for each in DIFFERENT] for _ in range(2)]
    compare(*both)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "mse"},
        {"loss": "stablemax"},
        {"gradient_filter": {"kind": "grokfast-ema"}},
        {"gradient_filter": {"kind": "perpendicular"}},
        {"clip": 0.1},
        {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
        {"name": "muon", "matrix_learning_rate": 0.02},
    ],
    ids=str,
)
def test_whatever_is_done_to_gradients_is_done_to_each_ones_own(changes: dict[str, Any]) -> None:
    both = [[run("relu", seed, **changes) for seed in range(3)] for _ in range(2)]
    compare(*both)


def test_in_float32_they_are_apart_by_rounding() -> None:
    both = [[run(dtype=torch.float32, **each) for each in DIFFERENT] for _ in range(2)]
    compare(*both, tolerance=1e-3)


def test_one_that_diverges_or_ends_stands_still_and_leaves_the_others_alone() -> None:
    cases = [
        {"seed": 0, "name": "sgd"},
        {"seed": 1, "name": "sgd", "learning_rate": 100.0, "momentum": 0.99},
        {"seed": 2, "name": "sgd", "stop": 25},
    ]
    both = [[run("relu", loss="mse", batch_size=12, **each) for each in cases] for _ in range(2)]
    compare(*both)
    assert [each.state.diverged for each in both[0]] == [False, True, False]
    assert [each.state.step for each in both[0]] == [STEPS, STEPS, 25]


def test_a_stack_is_its_models_and_what_changes_one_changes_the_other() -> None:
    models = [run(seed=seed).state.model for seed in range(3)]
    x = torch.randn(3, 5, *models[0].encode(torch.zeros(1, 2, dtype=torch.int64)).shape[1:], dtype=torch.float64)
    before = [model(each) for model, each in zip(models, x, strict=True)]
    stack = Stack(models)
    torch.testing.assert_close(stack(x), torch.stack(before))
    assert len(list(stack.modules())) == 1, "the first model's parameters are not its own"
    models[1].load_state_dict(models[0].state_dict())
    torch.testing.assert_close(stack(x)[1], models[0](x[1]))


def test_what_can_be_stacked_with_what() -> None:
    first = alike(run())
    assert first is not None
    assert first == alike(run(seed=4, learning_rate=1e-4, weight_decay=0))
    others = [run("relu"), run("transformer"), run(n=30), run(batch_size=7), run(dtype=torch.float32)]
    ahead = run()
    ahead.state.step = 3
    assert len({first, *map(alike, [*others, ahead])}) == 7


@pytest.mark.parametrize("layer", [nn.Dropout(0.1), nn.Dropout2d(0.5), nn.BatchNorm1d(3)], ids=repr)
def test_what_draws_or_normalises_by_its_batch_is_stacked_with_nothing(layer: nn.Module) -> None:
    one = run()
    one.state.model.add_module("more", layer)
    assert alike(one) is None


def test_dropout_of_nothing_is_none() -> None:
    one = run()
    one.state.model.add_module("more", nn.Dropout(0.0))
    assert alike(one) is not None
