"""A training job that was stopped or killed goes on when it is run again, and ends the same to the byte."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from grokforget.runtime.store import Store
from small import Training, read, small

pytestmark = pytest.mark.xdist_group("resuming")  # One uninterrupted run is enough for all tests.


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Training:
    training = Training(tmp_path_factory.mktemp("whole"), small())
    training.prepare()
    assert training.begin().wait() == 0
    return training


@pytest.fixture
def training(uninterrupted: Training, tmp_path: Path) -> Training:
    """The same job, not begun."""
    mine = Training(tmp_path, uninterrupted.study)
    mine.root.mkdir(parents=True)
    (mine.root / "data").symlink_to(uninterrupted.root / "data")
    return mine


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def steps_logged(training: Training) -> int:
    lines = re.findall(r"INFO train (\d+)/", training.log.read_text()) if training.log.exists() else []
    return int(lines[-1]) if lines else 0


def went_on_from(training: Training) -> int:
    found = re.search(r"going on from step (\d+), where this segment was interrupted", training.log.read_text())
    return int(found[1]) if found else 0


def test_a_segment_that_is_asked_to_stop_saves_and_goes_on_to_the_same_bytes(
    uninterrupted: Training, training: Training
) -> None:
    seen = 0
    for further in (100, 800):
        process = training.begin(lines=True)
        wait_for(lambda: steps_logged(training) > seen + further, process)  # noqa: B023 - called in this turn alone
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate()
        assert process.returncode == 143, told
        assert told.startswith("train was stopped by SIGTERM")
        assert (training.products, training.record.exists()) == ({}, False)
        assert len(training.partials) == 1
        assert went_on_from(training) == seen
        seen = int(re.search(r"saved at step (\d+)", training.log.read_text())[1])
        assert seen > further
    assert training.begin().wait() == 0
    assert went_on_from(training) == seen
    assert training.products == uninterrupted.products
    assert training.partials == []


def test_a_segment_that_was_killed_goes_on_from_what_it_saved_last_to_the_same_bytes(
    uninterrupted: Training, training: Training
) -> None:
    process = training.begin(saving_every=0.1)
    wait_for(lambda: training.partials, process)
    process.kill()
    process.communicate()
    assert training.products == {}
    assert training.begin().wait() == 0
    assert went_on_from(training) > 0
    assert training.products == uninterrupted.products


def test_a_damaged_partial_file_is_not_used(uninterrupted: Training, training: Training) -> None:
    process = training.begin(saving_every=0.1)
    wait_for(lambda: training.partials, process)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    (partial,) = training.partials
    content = bytearray(partial.read_bytes())
    content[-1] ^= 1
    partial.write_bytes(content)
    assert training.begin().wait() == 0
    log = training.log.read_text()
    assert re.search(rf"WARNING .*{partial.name} is damaged.*; the segment is trained from its start", log)
    assert went_on_from(training) == 0
    assert training.products == uninterrupted.products


def test_what_is_saved_of_another_task_is_not_gone_on_from(training: Training) -> None:
    process = training.begin(saving_every=0.1)
    wait_for(lambda: training.partials, process)
    process.kill()
    process.communicate()
    other = Training(training.folder, small(settings__mlp__training__optimizer__weight_decay=0.5))
    assert other.begin().wait() == 0
    assert went_on_from(other) == 0
    # It lies under a key that is not asked for any more, until the store is swept.
    keys = [item["key"] for item in read(other.record)["items"].values()]
    assert [partial.parent.name for partial in training.partials] != keys
    assert Store(other.root).sweep({other.key: keys}) > 0
    assert training.partials == []
