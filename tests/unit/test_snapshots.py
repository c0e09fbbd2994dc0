"""Snapshots that a training job writes to disk one by one end in the same bytes as those it holds in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from grokforget.config.models import MODELS
from grokforget.config.specs.runs import ModelSpec, TrainSpec
from grokforget.config.training import TrainingSettings
from grokforget.data.modular import Modular
from grokforget.jobs import train as job_of_training
from grokforget.jobs.train import PARTIAL, train_segment
from grokforget.runtime.files import DamagedFile, tensor_groups
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from grokforget.training.snapshots import OnDisk

pytestmark = pytest.mark.usefixtures("one_thread")

STOP = 60
SETTINGS = TrainingSettings.model_validate(
    {
        "loss": "cross-entropy",
        "optimizer": {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.1},
        **{"batch_size": 8, "steps": STOP, "segment_steps": STOP, "evaluate_every": 5, "snapshots_per_decade": 6},
    }
)
SPEC = TrainSpec(
    model=ModelSpec(**dict(MODELS["mlp"](hidden=[6]).spec())),
    objective=SETTINGS.objective(),
    recipe=SETTINGS.recipe(),
    **{"seed": 0, "stop": STOP, "processes": 1, "threads": 1, "device": "cpu"},
)


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str, bool], Job[TrainSpec]]:
    """A training job that writes into a folder, with or without a scratch folder of its own."""
    data = Modular(modulus=7, operation="+", train_fraction=0.5, validation_fraction=0.2)
    table = data.examples()
    table.write(tmp_path / "examples.safetensors")
    data.split(table.labels, numpy_generator(0, "split")).write(tmp_path / "split.safetensors")
    inputs = {what: [tmp_path / f"{what}.safetensors"] for what in ("examples", "split")}

    def at(name: str, scratch: bool) -> Job[TrainSpec]:
        kinds = {"state": "safetensors", "snapshots": "safetensors", "curve": "parquet"}
        outputs = {what: tmp_path / name / f"{what}.{ending}" for what, ending in kinds.items()}
        return Job(inputs, outputs, SPEC, tmp_path / name / "scratch" if scratch else None)

    return at


def written(job: Job[TrainSpec]) -> dict[str, bytes]:
    return {what: path.read_bytes() for what, path in job.outputs.items()}


def killed(job: Job[TrainSpec], step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the job, which saves after every ``step // 2`` updates, up to ``step`` updates."""

    class Killed(Exception):
        pass

    done = 0

    def update() -> bool:
        nonlocal done
        done += 1
        if done == step:
            raise Killed
        # The job asks after every update, before it decides whether it saves.
        patch.setattr(job_of_training, "SAVE_SECONDS", -1.0 if done % (step // 2) == 0 else 1e9)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(job_of_training, "asked", update)
        with pytest.raises(Killed):
            train_segment(job)


def test_on_disk_and_in_memory_end_in_the_same_bytes(job: Callable[[str, bool], Job[TrainSpec]]) -> None:
    in_memory, on_disk = job("memory", False), job("disk", True)
    train_segment(in_memory)
    train_segment(on_disk)
    assert written(in_memory) == written(on_disk)
    steps = tensor_groups(on_disk.outputs["snapshots"])
    assert len(steps) > 8
    # A file each, as each occurred.
    assert sorted(path.stem for path in on_disk.scratch.iterdir()) == sorted(f"snapshot{step}" for step in steps)


@pytest.mark.parametrize("step", [4, 31, STOP - 1])
def test_a_killed_job_finds_its_snapshots_on_disk_and_ends_in_the_same_bytes(
    job: Callable[[str, bool], Job[TrainSpec]],
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, cut = job("whole", False), job("cut", True)
    train_segment(whole)
    killed(cut, step, monkeypatch)
    assert not any(path.exists() for path in cut.outputs.values())
    before = {path.name for path in cut.scratch.glob("snapshot*")}
    assert before
    with caplog.at_level(logging.INFO, logger="grokforget"):
        train_segment(cut)
    assert "where this segment was interrupted" in caplog.text
    assert written(cut) == written(whole)
    assert before <= {path.name for path in cut.scratch.iterdir()}


def test_a_segment_in_which_a_snapshot_was_lost_is_trained_again(
    job: Callable[[str, bool], Job[TrainSpec]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, damaged = job("whole", False), job("damaged", True)
    train_segment(whole)
    keep, lost = OnDisk.keep, []

    def forgetful(self: OnDisk, step: int, weights: object) -> None:
        keep(self, step, weights)
        if step == 32 and not lost:
            lost.append(step)
            self.path(10).unlink()

    monkeypatch.setattr(OnDisk, "keep", forgetful)
    with caplog.at_level(logging.WARNING, logger="grokforget"):
        train_segment(damaged)
    assert lost
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{damaged.scratch / 'snapshot10.safetensors'} is missing; the segment is trained from its start"
    ]
    assert written(damaged) == written(whole)


def test_damage_outside_the_scratch_folder_is_an_error(job: Callable[[str, bool], Job[TrainSpec]]) -> None:
    given = job("job", True)
    split = given.input("split")
    split.write_bytes(split.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match=str(split)):
        train_segment(given)
    assert not (given.scratch / PARTIAL).exists()
