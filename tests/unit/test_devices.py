"""Every job of a machine gets a GPU of its own. No GPU is needed: only their names are dealt with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grokforget.runtime import gpu as devices

SOURCE = Path(devices.__file__).parents[2]
HOLD = "from grokforget.runtime import gpu as devices; print(devices.claim(), flush=True); input()"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of their own, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(devices, "FOLDER", tmp_path / "locks")
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    return tmp_path


def holder() -> tuple[subprocess.Popen[str], str]:
    """A process that has claimed a GPU, and which."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_two_jobs_get_two_gpus_and_one_is_free_again_when_its_job_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "3,5")
    (first, one), (second, two) = holder(), holder()
    try:
        assert {one, two} == {"3", "5"}
        first.kill()
        first.wait()
        third, three = holder()
        third.kill()
        assert three == one
    finally:
        for process in (first, second):
            process.kill()


def test_a_job_sees_its_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "GPU-a,GPU-b")
    assert devices.claim() == "GPU-a"
    assert devices.visible() == ["GPU-a"]


def test_a_job_of_several_items_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it would wait for itself."""
    monkeypatch.setenv(devices.VISIBLE, "GPU-a,GPU-b")
    assert [devices.claim(patience=0.1) for _ in range(3)] == ["GPU-a"] * 3
    assert len(devices._held) == 1


def test_where_all_are_taken_it_says_so_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0")
    process, _ = holder()
    try:
        monkeypatch.setattr(devices, "FOLDER", next(Path(devices.FOLDER.parent).glob("grokforget-gpus-*")))
        with pytest.raises(devices.NoDevice, match="have been taken by other jobs"):
            devices.claim(patience=0.1)
    finally:
        process.kill()


@pytest.mark.parametrize("seen", ["", "-1", "NoDevFiles"])
def test_none_is_an_error_that_says_what_to_do(seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, seen)
    with pytest.raises(devices.NoDevice, match="give `device: cpu`, or a profile with GPUs"):
        devices.claim()


def test_without_the_variable_the_machine_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "GPU 0: A (UUID: x)"\necho "GPU 1: A (UUID: y)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert devices.visible() == ["0", "1"]
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible() == []
