"""Training that is saved at any step goes on from there, as if it had never been interrupted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.training import TrainingSettings
from grokforget.seal import DamagedFile
from grokforget.stages.train import begin
from grokforget.storage import write_rows
from grokforget.training.evaluate import Examples
from grokforget.training.loop import Segment, TrainingState, start, train
from grokforget.training.state import load_partial, save_partial, save_training

pytestmark = pytest.mark.usefixtures("one_thread")

STOP = 40
SPLITS = {
    name: Examples(torch.randn(n, 4, generator=torch.Generator().manual_seed(n)), torch.arange(n) % 3)
    for name, n in (("train", 24), ("validation", 9), ("test", 7))
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "plain sgd": {"name": "sgd", "learning_rate": 0.1},
    "sgd": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "schedule": "cosine", "decay_steps": 35},
    "adamw": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    "uphill": {"name": "adamw", "learning_rate": 0.01, "sam_rho": 0.2},
    "that diverges": {"name": "sgd", "learning_rate": 100.0, "momentum": 0.9},
}


def settings(optimizer: str) -> dict[str, Any]:
    loss = "mse" if optimizer == "that diverges" else "cross-entropy"
    recipe = {"loss": loss, "optimizer": OPTIMIZERS[optimizer], "steps": STOP, "segment_steps": STOP}
    penalty = {"penalty": {"kind": "jacobian", "strength": 0.3}} if optimizer == "uphill" else {}
    grids = {"evaluate_every": 4, "evaluations_per_decade": 3, "snapshots_per_decade": 4, "snapshot_change": 0.1}
    return TrainingSettings.model_validate({**recipe, **grids, **penalty, "batch_size": 5}).spec()


def network() -> nn.Module:
    """With dropout, which draws from torch's random state."""
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 3))


def first(optimizer: str) -> TrainingState:
    torch.manual_seed(3)
    return start(network(), settings(optimizer)["optimizer"])


def go(state: TrainingState, optimizer: str, **more: Any) -> Segment:
    return train(state, SPLITS, settings(optimizer), seed=0, **{"stop": STOP, **more})


def bits(weights: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def content(segment: Segment) -> tuple[str, dict[int, dict[str, bytes]]]:
    """Rows as text, since a number that is none is unequal to itself."""
    return str([sorted(row.items()) for row in segment.curve]), {
        step: bits(weights) for step, weights in segment.snapshots.items()
    }


class Stopped(Exception):
    """Stands for a kill."""


def interrupted(optimizer: str, at: int, path: Path) -> None:
    """Train up to a step, save, and be gone."""
    state = first(optimizer)

    def on_step(segment: Segment) -> None:
        if state.step == at:
            save_partial(path, state, segment)
            raise Stopped

    with pytest.raises(Stopped):
        go(state, optimizer, on_step=on_step)


@pytest.mark.parametrize("at", [1, 7, 8, 21, STOP])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS)[:4])
def test_it_goes_on_from_any_step_to_the_same_bits(optimizer: str, at: int, tmp_path: Path) -> None:
    whole_state, path = first(optimizer), tmp_path / "partial.safetensors"
    whole = go(whole_state, optimizer)
    random = torch.get_rng_state()
    interrupted(optimizer, at, path)
    torch.manual_seed(99)
    state, done = load_partial(path, network(), settings(optimizer)["optimizer"])
    assert state.step == at
    segment = go(state, optimizer, done=done)
    assert segment is done
    assert content(segment) == content(whole)
    assert bits(state.model.state_dict()) == bits(whole_state.model.state_dict())
    assert torch.equal(torch.get_rng_state(), random)
    for name, saved in (("whole", whole_state), ("resumed", state)):
        save_training(tmp_path / name, saved)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()


@pytest.mark.parametrize("optimizer", ["adamw", "that diverges"])
def test_the_table_of_a_curve_in_two_parts_is_that_of_the_whole_to_the_byte(optimizer: str, tmp_path: Path) -> None:
    whole = go(first(optimizer), optimizer)
    assert whole.curve[-1]["diverged"] == (optimizer == "that diverges")
    interrupted(optimizer, 2, tmp_path / "partial.safetensors")
    state, done = load_partial(tmp_path / "partial.safetensors", network(), settings(optimizer)["optimizer"])
    write_rows(tmp_path / "whole.parquet", whole.curve)
    write_rows(tmp_path / "parts.parquet", go(state, optimizer, done=done).curve)
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_rows_that_are_no_numbers_are_saved_too(tmp_path: Path) -> None:
    state, rows = first("that diverges"), [{"step": 3, "loss": float("nan"), "norm": float("inf"), "diverged": True}]
    state.step, state.diverged = 3, True
    save_partial(tmp_path / "a.safetensors", state, Segment(list(rows), {}))
    read, done = load_partial(tmp_path / "a.safetensors", network(), settings("that diverges")["optimizer"])
    assert (read.step, read.diverged, read.seen) == (3, True, None)
    assert content(done) == content(Segment(rows, {}))
    assert content(go(read, "that diverges", done=done)) == content(Segment(rows, {})), "it stands still"


def test_every_update_is_told_with_what_there_is_by_then() -> None:
    state, told = first("adamw"), []

    def on_step(segment: Segment) -> None:
        told.append((state.step, len(segment.curve), max(segment.snapshots), segment.curve[-1]["step"]))

    segment = go(state, "adamw", on_step=on_step)
    assert [step for step, *_ in told] == list(range(1, STOP + 1))
    for step, rows, snapshot, row in told:
        assert rows == sum(found["step"] <= step for found in segment.curve)
        assert snapshot == max(found for found in segment.snapshots if found <= step)
        assert row == max(found["step"] for found in segment.curve if found["step"] <= step)


# Where a segment begins.
def spec() -> dict[str, Any]:
    return {"seed": 0, "training": settings("adamw")}


def files(folder: Path) -> tuple[Path, Path]:
    """The state of the segment before, and what was saved of this one."""
    state = first("adamw")
    go(state, "adamw", stop=8)
    save_training(folder / "previous.safetensors", state)
    segment = go(state, "adamw", stop=12)
    save_partial(folder / "partial.safetensors", state, segment)
    return folder / "previous.safetensors", folder / "partial.safetensors"


def test_a_segment_begins_where_it_was_interrupted_or_behind_the_one_before_or_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous, partial = files(tmp_path)
    state, done = begin(network(), spec(), previous, partial)
    assert (state.step, max(done.snapshots)) == (12, 12)
    for nothing in (None, tmp_path / "nothing"):
        state, done = begin(network(), spec(), previous, nothing)
        assert (state.step, done) == (8, None)
        assert begin(network(), spec(), None, nothing)[0].step == 0
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_random_numbers_of_a_run_are_those_of_its_seed() -> None:
    draws = []
    for seed, caller in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(caller)
        begin(network(), {**spec(), "seed": seed}, None, None)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]


def flip(content: bytearray) -> bytearray:
    content[-1] ^= 1
    return content


@pytest.mark.parametrize("damage", [flip, lambda content: content[:-1], lambda content: b""])
def test_what_was_saved_and_is_damaged_is_ignored_with_a_warning(
    damage: Callable[[bytearray], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous, partial = files(tmp_path)
    partial.write_bytes(damage(bytearray(partial.read_bytes())))
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="grokforget"):
        state, done = begin(network(), spec(), previous, partial)
    assert (state.step, done) == (8, None)
    (warning,) = caplog.messages
    assert warning.startswith(str(partial))
    assert warning.endswith("; the segment is trained from its start")


def test_a_damaged_state_of_the_segment_before_is_an_error(tmp_path: Path) -> None:
    previous, _ = files(tmp_path)
    previous.write_bytes(previous.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=str(previous)):
        begin(network(), spec(), previous, None)
