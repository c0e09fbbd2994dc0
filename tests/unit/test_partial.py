"""Training that is saved at any step goes on from there, as if it had never been interrupted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.specs.runs import TrainSpec
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.jobs.train import PARTIAL, begin
from grokforget.models.states import read_state
from grokforget.runtime.files import DamagedFile, write_rows
from grokforget.training.loop import Segment, TrainingState, start, train
from grokforget.training.snapshots import InMemory, OnDisk, Snapshots
from grokforget.training.state import load_partial, load_training, save_partial, save_training

pytestmark = pytest.mark.usefixtures("one_thread")

STOP = 40
SPLITS = {
    name: Examples(torch.randn(n, 4, generator=torch.Generator().manual_seed(n)), torch.arange(n) % 3)
    for name, n in (("train", 24), ("validation", 9), ("test", 7))
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "plain sgd": {"name": "sgd", "learning_rate": 0.1},
    "sgd": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "schedule": "cosine", "decay_steps": 35},
    "warmed up": {"name": "adam", "learning_rate": 0.01, "warmup_steps": 33},
    "adamw": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1},
    "uphill": {"name": "adamw", "learning_rate": 0.01, "sam_rho": 0.2},
    "filtered": {"name": "adamw", "learning_rate": 0.01, "gradient_filter": {"kind": "grokfast-ma", "window": 6}},
    "that diverges": {"name": "sgd", "learning_rate": 100.0, "momentum": 0.9},
}


def settings(optimizer: str) -> TrainingSettings:
    loss = "mse" if optimizer == "that diverges" else "cross-entropy"
    recipe = {"loss": loss, "optimizer": OPTIMIZERS[optimizer], "steps": STOP, "segment_steps": STOP}
    penalty = {"penalty": {"kind": "jacobian", "strength": 0.3}} if optimizer == "uphill" else {}
    grids = {"evaluate_every": 4, "evaluations_per_decade": 3, "snapshots_per_decade": 4, "snapshot_change": 0.1}
    return TrainingSettings.model_validate({**recipe, **grids, **penalty, "batch_size": 5})


def network() -> nn.Module:
    """With dropout, which draws from torch's random state."""
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 3))


def first(optimizer: str) -> TrainingState:
    torch.manual_seed(3)
    return start(network(), settings(optimizer).recipe().optimizer)


def go(state: TrainingState, optimizer: str, snapshots: Snapshots | None = None, **more: Any) -> Segment:
    given, keep = settings(optimizer), (snapshots or InMemory()).keep
    objective = given.objective().build()
    return train(state, SPLITS, given.recipe(), objective, seed=0, on_snapshot=keep, **{"stop": STOP, **more})


def bits(weights: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def content(segment: Segment, snapshots: Snapshots) -> tuple[str, dict[str, dict[str, bytes]]]:
    """Rows as text, since a number that is none is unequal to itself."""
    return str([sorted(row.items()) for row in segment.curve]), {
        step: bits(weights) for step, weights in snapshots.read(segment.snapshots).items()
    }


class Stopped(Exception):
    """Stands for a kill."""


def interrupted(optimizer: str, at: int, folder: Path, killed: int | None = None) -> OnDisk:
    """Train up to a step, save, and be gone, there or at a later step; the snapshots are in the folder."""
    state, snapshots = first(optimizer), OnDisk(folder)

    def on_step(segment: Segment) -> None:
        if state.step == at:
            save_partial(folder / PARTIAL, state, segment)
        if state.step == (killed or at):
            raise Stopped

    with pytest.raises(Stopped):
        go(state, optimizer, snapshots, on_step=on_step)
    return snapshots


@pytest.mark.parametrize("at", [1, 7, 8, 21, STOP])
@pytest.mark.parametrize("optimizer", [*list(OPTIMIZERS)[:4], "filtered"])
def test_it_goes_on_from_any_step_to_the_same_bits(optimizer: str, at: int, tmp_path: Path) -> None:
    whole_state, in_memory = first(optimizer), InMemory()
    whole = go(whole_state, optimizer, in_memory)
    random = torch.get_rng_state()
    snapshots = interrupted(optimizer, at, tmp_path)
    torch.manual_seed(99)
    state, done = load_partial(tmp_path / PARTIAL, network(), settings(optimizer).recipe().optimizer, snapshots)
    assert state.step == at
    segment = go(state, optimizer, snapshots, done=done)
    assert segment is done
    assert content(segment, snapshots) == content(whole, in_memory)
    assert bits(state.model.state_dict()) == bits(whole_state.model.state_dict())
    assert torch.equal(torch.get_rng_state(), random)
    for name, saved in (("whole", whole_state), ("resumed", state)):
        save_training(tmp_path / name, saved)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "resumed").read_bytes()


@pytest.mark.parametrize("killed", [22, 30, STOP])
def test_snapshots_behind_the_saved_step_are_written_again(killed: int, tmp_path: Path) -> None:
    """A kill long after the last saving leaves files of steps that the resumed run has yet to reach."""
    in_memory = InMemory()
    whole = go(first("adamw"), "adamw", in_memory)
    snapshots = interrupted("adamw", 21, tmp_path, killed)
    behind = [path for path in tmp_path.glob("snapshot*") if int(path.stem.removeprefix("snapshot")) > 21]
    assert behind or killed < STOP
    for path in behind:
        path.write_bytes(b"of another run")
    state, done = load_partial(tmp_path / PARTIAL, network(), settings("adamw").recipe().optimizer, snapshots)
    assert max(done.snapshots) <= 21
    assert content(go(state, "adamw", snapshots, done=done), snapshots) == content(whole, in_memory)


@pytest.mark.parametrize("optimizer", ["adamw", "that diverges"])
def test_the_table_of_a_curve_in_two_parts_is_that_of_the_whole_to_the_byte(optimizer: str, tmp_path: Path) -> None:
    whole = go(first(optimizer), optimizer)
    assert whole.curve[-1]["diverged"] == (optimizer == "that diverges")
    snapshots = interrupted(optimizer, 2, tmp_path)
    state, done = load_partial(tmp_path / PARTIAL, network(), settings(optimizer).recipe().optimizer, snapshots)
    write_rows(tmp_path / "whole.parquet", whole.curve)
    write_rows(tmp_path / "parts.parquet", go(state, optimizer, done=done).curve)
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_rows_that_are_no_numbers_are_saved_too(tmp_path: Path) -> None:
    state, rows = first("that diverges"), [{"step": 3, "loss": float("nan"), "norm": float("inf"), "diverged": True}]
    state.step, state.diverged = 3, True
    save_partial(tmp_path / PARTIAL, state, Segment(list(rows)))
    optimizer, snapshots = settings("that diverges").recipe().optimizer, OnDisk(tmp_path)
    read, done = load_partial(tmp_path / PARTIAL, network(), optimizer, snapshots)
    assert (read.step, read.diverged, read.seen) == (3, True, None)
    expected = content(Segment(rows), snapshots)
    assert content(done, snapshots) == expected
    assert content(go(read, "that diverges", snapshots, done=done), snapshots) == expected, "it stands still"


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
def spec(seed: int = 0) -> TrainSpec:
    given = settings("adamw")
    told = {"model": {"implementation": "not asked for"}, "objective": given.objective(), "recipe": given.recipe()}
    return TrainSpec(**told, seed=seed, stop=STOP, processes=1, threads=1, device="cpu")


def files(folder: Path) -> tuple[Path, Path]:
    """The state of the segment before, and the scratch folder with what was saved of this one."""
    state, scratch = first("adamw"), folder / "scratch"
    go(state, "adamw", stop=8)
    save_training(folder / "previous.safetensors", state)
    segment = go(state, "adamw", OnDisk(scratch), stop=12)
    save_partial(scratch / PARTIAL, state, segment)
    return folder / "previous.safetensors", scratch


def test_a_segment_begins_where_it_was_interrupted_or_behind_the_one_before_or_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous, scratch = files(tmp_path)
    state, done = begin(network(), spec(), previous, scratch)
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
        begin(network(), spec(seed), None, None)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]


class FakeGpus:
    """Two GPUs of which each has a random state of one number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> None:
        self.states = [torch.tensor([value], dtype=torch.uint8) for value in range(5, 5 + count)]
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(self.states))
        monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [state.clone() for state in self.states])
        monkeypatch.setattr(torch.cuda, "set_rng_state", self.set)

    def set(self, state: torch.Tensor, device: int) -> None:
        self.states[device] = state


@pytest.mark.parametrize("count", [1, 2])
def test_the_random_state_of_every_gpu_there_is_goes_on_too(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, optimizer = tmp_path / "state.safetensors", settings("adamw").recipe().optimizer
    with monkeypatch.context() as patch:
        FakeGpus(patch)
        save_training(path, first("adamw"))
    assert set(read_state(path, "random")) == {"torch", "cuda0", "cuda1"}
    expected = torch.rand(3)
    with monkeypatch.context() as patch:
        gpus = FakeGpus(patch, count)
        gpus.states = [torch.zeros(1, dtype=torch.uint8)] * count
        load_training(path, network(), optimizer)
        assert [int(state) for state in gpus.states] == [5, 6][:count]
    load_training(path, network(), optimizer)  # on a machine without any
    assert torch.equal(torch.rand(3), expected)


def test_without_cuda_the_saved_random_state_is_that_of_the_cpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    save_training(tmp_path / "state.safetensors", first("adamw"))
    assert set(read_state(tmp_path / "state.safetensors", "random")) == {"torch"}


def flip(content: bytearray) -> bytearray:
    content[-1] ^= 1
    return content


@pytest.mark.parametrize("which", [PARTIAL, "snapshot10.safetensors"])
@pytest.mark.parametrize("damage", [flip, lambda content: content[:-1], lambda content: b""])
def test_what_was_saved_and_is_damaged_is_ignored_with_a_warning(
    damage: Callable[[bytearray], bytes], which: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous, scratch = files(tmp_path)
    damaged = scratch / which
    damaged.write_bytes(damage(bytearray(damaged.read_bytes())))
    caplog.clear()
    model = network()
    untouched = bits(model.state_dict())
    with caplog.at_level(logging.WARNING, logger="grokforget"):
        state, done = begin(model, spec(), previous, scratch)
    assert (state.step, done) == (8, None)
    (warning,) = caplog.messages
    assert warning.startswith(str(damaged))
    assert warning.endswith("; the segment is trained from its start")
    with caplog.at_level(logging.WARNING, logger="grokforget"):
        model.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
        zeros = bits(model.state_dict())
        assert begin(model, spec(), None, scratch)[0].step == 0
    assert bits(model.state_dict()) == zeros != untouched, "the initialisation is not that of the damaged file"


def test_a_snapshot_that_is_missing_is_as_good_as_a_damaged_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    previous, scratch = files(tmp_path)
    (scratch / "snapshot10.safetensors").unlink()
    assert begin(network(), spec(), previous, scratch)[0].step == 8
    assert "snapshot10.safetensors is missing; the segment is trained from its start" in caplog.messages[-1]


def test_a_damaged_state_of_the_segment_before_is_an_error(tmp_path: Path) -> None:
    previous, _ = files(tmp_path)
    previous.write_bytes(previous.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=str(previous)):
        begin(network(), spec(), previous, None)
