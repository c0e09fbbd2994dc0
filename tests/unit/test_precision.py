"""bfloat16: where a model computes in it, what stays float32, and snapshots that are rounded to it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.training import RecipeSpec, TrainingSettings
from grokforget.data.loader import Examples
from grokforget.models.states import read_state, write_states
from grokforget.training.classification import Classification
from grokforget.training.gradient import Gradient
from grokforget.training.loop import Segment, TrainingState, start, train
from grokforget.training.snapshots import InMemory, OnDisk, Snapshots

pytestmark = pytest.mark.usefixtures("one_thread")
OBJECTIVE = Classification(loss="cross-entropy")


def recipe(learning_rate: float = 0.1, **changes: Any) -> RecipeSpec:
    return TrainingSettings.model_validate(
        {"loss": "cross-entropy", "optimizer": {"name": "sgd", "learning_rate": learning_rate}, "batch_size": 8}
        | {"steps": 40, "segment_steps": 40, "evaluate_every": 10, "snapshots_per_decade": 4}
        | changes
    ).recipe()


class Layers(nn.Module):
    """Two layers, which note in what they computed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 3)
        self.dtypes: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        self.dtypes[self.training].add(hidden.dtype)
        return self.second(hidden.relu())


def data(scale: float = 1.0) -> dict[str, Examples]:
    drawn = torch.Generator().manual_seed(0)
    x = scale * torch.randn((24, 6), generator=drawn)
    return {name: Examples(x, torch.arange(24) % 3) for name in ("train", "validation", "test")}


def run(given: RecipeSpec, snapshots: Snapshots, scale: float = 1.0) -> tuple[TrainingState, Segment]:
    state = start(Layers(), given.optimizer)
    return state, train(state, data(scale), given, OBJECTIVE, seed=0, stop=40, on_snapshot=snapshots.keep)


def test_a_gradient_in_bfloat16_is_that_of_autocast_with_the_loss_in_float32() -> None:
    model, plain, batch = Layers(), Layers(), data()["train"]
    Gradient(model, OBJECTIVE, recipe(precision="bfloat16"), 0, whole=24)(batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = plain(batch.x)
    assert outputs.dtype is torch.bfloat16
    nn.functional.cross_entropy(outputs.to(torch.float32), batch.y).backward()
    exact = Layers()
    nn.functional.cross_entropy(exact(batch.x), batch.y).backward()
    for p, same, other in zip(model.parameters(), plain.parameters(), exact.parameters(), strict=True):
        assert p.grad is not None
        assert same.grad is not None
        assert other.grad is not None
        assert p.grad.dtype is torch.float32
        assert torch.equal(p.grad, same.grad)
        assert not torch.equal(p.grad, other.grad)
        torch.testing.assert_close(p.grad, other.grad, atol=0.02, rtol=0.02)


def test_the_loss_of_outputs_in_bfloat16_has_the_digits_of_float32() -> None:
    model, batch = Layers(), data()["train"]
    loss = Gradient(model, OBJECTIVE, recipe(precision="bfloat16"), 0, whole=24).loss(batch)
    assert loss.dtype is torch.float32
    assert loss.bfloat16().float() != loss


def test_training_computes_in_it_and_evaluation_does_not() -> None:
    state, _ = run(recipe(precision="bfloat16"), InMemory())
    model = state.model
    assert isinstance(model, Layers)
    assert model.dtypes == {True: {torch.bfloat16}, False: {torch.float32}}
    assert all(p.dtype is torch.float32 for p in model.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_that_is_no_number_is_flagged_and_the_snapshots_before_it_are_kept(precision: str) -> None:
    snapshots = InMemory()
    state, segment = run(recipe(learning_rate=100.0, precision=precision), snapshots, scale=1e9)
    assert state.diverged
    assert [row["diverged"] for row in segment.curve][-1]
    assert not math.isfinite(segment.curve[-1]["train_loss"])
    assert segment.snapshots[0] == 0
    assert list(snapshots.states) == segment.snapshots
    assert all(value.isfinite().all() for value in snapshots.states[0].values())


@pytest.mark.parametrize("disk", [True, False])
def test_snapshots_are_rounded_and_the_run_is_not(disk: bool, tmp_path: Path) -> None:
    exact, kept = InMemory(), OnDisk(tmp_path, "bfloat16") if disk else InMemory("bfloat16")
    state, segment = run(recipe(), exact)
    other, _ = run(recipe(snapshot_precision="bfloat16"), kept)
    for one, two in zip(state.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)
    write_states(tmp_path / "snapshots.safetensors", kept.read(segment.snapshots))
    write_states(tmp_path / "exact.safetensors", exact.read(segment.snapshots))
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("snapshots", "exact")]
    assert sizes[0] < sizes[1]
    for step in segment.snapshots:
        back = read_state(tmp_path / "snapshots.safetensors", str(step))
        for name, value in exact.states[step].items():
            assert back[name].dtype is torch.float32
            assert torch.equal(back[name], value.to(torch.bfloat16).float())


def test_what_is_no_float32_is_kept_as_it_is(tmp_path: Path) -> None:
    weights = {"count": torch.tensor(257), "exact": torch.tensor([1 / 3], dtype=torch.float64)}
    kept = OnDisk(tmp_path, "bfloat16")
    kept.keep(0, weights)
    back = kept.read([0])["0"]
    assert all(torch.equal(back[name], value) and back[name].dtype is value.dtype for name, value in weights.items())
