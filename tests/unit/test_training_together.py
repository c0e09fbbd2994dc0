"""A training job of several processes is a job as others are: one result, a state to go on from, and an error with words."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grokforget.config.specs import runs
from grokforget.runtime.files import read_metadata
from small import Training, read, small

pytestmark = pytest.mark.xdist_group("training together")  # One run of the job is enough for all tests.
STEPS = 240
TOLERANCE = 1e-3
"""Relative, of losses and norm after all steps, in float32."""
RECIPE = {"steps": STEPS, "segment_steps": STEPS, "evaluate_every": 20, "snapshots_per_decade": 30}


def study(processes: int, **changes: Any) -> Any:
    recipe = {**RECIPE, "processes": processes, **changes}
    return small(settings__mlp__training=recipe, settings__mlp__training__optimizer={"learning_rate": 1e-3})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The job of two processes, uninterrupted."""
    training = Training(tmp_path_factory.mktemp("whole"), study(2))
    training.prepare()
    assert training.begin().wait() == 0
    return training


def beside(whole: Training, folder: Path, **changes: Any) -> Training:
    """A job on the same data, not begun."""
    training = Training(folder, study(**{"processes": 2, **changes}))
    training.root.mkdir(parents=True)
    (training.root / "data").symlink_to(whole.root / "data")
    return training


def curve(training: Training) -> pd.DataFrame:
    return pd.read_parquet(training.root / training.key / "curve.parquet")


def test_two_processes_give_what_one_gives(whole: Training, tmp_path: Path) -> None:
    alone = beside(whole, tmp_path, processes=1)
    assert alone.begin().wait() == 0
    two, one = curve(whole), curve(alone)
    accuracies = [f"{name}_accuracy" for name in ("train", "validation", "test")]
    pd.testing.assert_frame_equal(two[["step", "diverged", *accuracies]], one[["step", "diverged", *accuracies]])
    pd.testing.assert_frame_equal(two, one, rtol=TOLERANCE)
    assert (
        whole.products.keys()
        == alone.products.keys()
        == {"curve.parquet", "snapshots.safetensors", "state.safetensors"}
    )
    keys = [next(iter(read(each.record)["items"].values()))["key"] for each in (whole, alone)]
    assert keys[0] != keys[1], "the last bits differ"
    assert whole.partials == []


def test_only_what_trains_depends_on_the_number_of_processes() -> None:
    one, two = (runs.train(study(number), "mlp", "0", "full", "001")[""].spec for number in (1, 2))
    assert two == one.model_copy(update={"processes": 2})
    assert one.recipe == two.recipe, "which relearning trains by, alone"


@pytest.mark.parametrize(("device", "processes", "gpus"), [("cpu", 2, 0), ("cuda", 1, 1), ("cuda", 2, 2)])
def test_a_study_knows_how_many_gpus_its_largest_job_takes(device: str, processes: int, gpus: int) -> None:
    recipe = {**RECIPE, "processes": processes}
    assert small(device=device, settings__mlp__training=recipe).most_gpus == gpus


def stopped_in_the_middle(training: Training, number: signal.Signals) -> int:
    """The step at which a job was saved that was asked to stop."""
    process = training.begin()
    unfinished = training.root / "store" / "unfinished"
    deadline = time.monotonic() + 30
    while len(list(unfinished.glob("*/snapshot*.safetensors"))) < 4:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if number == signal.SIGINT:
        # Ctrl-C, to the processes of a job as well.
        for child in children(process.pid):
            os.kill(child, number)
    process.send_signal(number)
    _, told = process.communicate()
    assert process.returncode == 128 + number, told
    assert told.startswith(f"train was stopped by {number.name}")
    assert (training.products, training.record.exists()) == ({}, False)
    (saved,) = re.findall(r"saved at step (\d+)", training.log.read_text())
    return int(saved)


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_asked_to_stop_saves_once_and_goes_on_to_the_same_bytes(
    number: signal.Signals, whole: Training, tmp_path: Path
) -> None:
    training = beside(whole, tmp_path)
    saved = stopped_in_the_middle(training, number)
    (partial,) = training.partials
    assert read_metadata(partial)["step"] == saved < STEPS
    assert training.begin().wait() == 0
    assert f"going on from step {saved}, where this segment was interrupted" in training.log.read_text()
    assert training.products == whole.products


def test_where_what_was_saved_is_damaged_all_begin_anew(whole: Training, tmp_path: Path) -> None:
    training = beside(whole, tmp_path)
    stopped_in_the_middle(training, signal.SIGTERM)
    (partial,) = training.partials
    partial.write_bytes(partial.read_bytes()[:-1])
    assert training.begin().wait() == 0
    log = training.log.read_text()
    for process in ("", "process 2: "):
        assert re.search(
            rf"WARNING {process}\S+{partial.name} is damaged.*; the segment is trained from its start", log
        )
    assert training.products == whole.products
