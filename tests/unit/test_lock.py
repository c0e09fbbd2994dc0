"""A study is worked on by one Snakemake at a time, and what a killed one has left does not stop the next."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grokforget.runtime import preflight
from grokforget.runtime.preflight import CannotRun, hold
from small import SOURCE


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, with what this process holds let go at the end."""
    monkeypatch.chdir(tmp_path)
    held: list[Any] = []
    monkeypatch.setattr(preflight, "_held", held)
    yield
    for file in held:
        file.close()


HOLDER = """
import sys
from pathlib import Path
from grokforget.runtime.preflight import hold
hold(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which works on the study."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def test_who_works_on_a_study_is_named_and_lets_go_when_it_is_killed(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    named = rf"being worked on by snakemake \(process {holder.pid} of user \S+ on \S+, since 20\S+ \S+\); wait until"
    for _ in range(2):
        with pytest.raises(CannotRun, match=named):
            hold(tmp_path)
    hold_another = tmp_path / "another"
    hold_another.mkdir()
    hold(hold_another)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    hold(tmp_path)
    text = (tmp_path / ".lock").read_text()
    assert f"process {os.getpid()} of user" in text
    assert text.count("process") == 1, "who held it before is forgotten"


def test_it_is_held_for_as_long_as_the_process_lives(tmp_path: Path) -> None:
    hold(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
    )
    assert f"is being worked on by snakemake (process {os.getpid()} of user" in done.stderr


def test_a_file_system_that_knows_no_locks_is_not_taken_for_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network file systems."""

    def refuse(file: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(preflight.fcntl, "flock", refuse)
    hold(tmp_path)
    hold(tmp_path)
