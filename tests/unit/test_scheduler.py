"""Slurm's controller goes away and comes back, and the user is told what to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from grokforget.runtime import slurm as scheduler


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `sinfo` that answers as long as a file is there."""
    alive = tmp_path / "alive"
    alive.touch()
    program = tmp_path / "sinfo"
    program.write_text(
        f"#!/bin/sh\ntest -e {alive} || {{ echo warning >&2; echo 'Unable to contact slurm controller' >&2; exit 1; }}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return alive


def test_it_answers_or_its_last_word_is_given(controller: Path) -> None:
    assert scheduler.is_there()
    assert scheduler.complaint() == ""
    controller.unlink()
    assert scheduler.complaint() == "Slurm does not answer: Unable to contact slurm controller."


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not scheduler.is_there()


def test_going_away_and_coming_back_are_told_once_each(controller: Path) -> None:
    told: list[str] = []

    def wait_for(count: int) -> None:
        end = time.monotonic() + 20
        while len(told) < count:
            assert time.monotonic() < end, told
            time.sleep(0.02)

    scheduler.watch(told.append, every=0.05)
    time.sleep(0.3)
    assert told == []
    controller.unlink()
    wait_for(1)
    time.sleep(0.3)
    controller.touch()
    wait_for(2)
    assert len(told) == 2
    assert told[0].startswith("Slurm does not answer: Unable to contact slurm controller. Jobs that run go on")
    assert "press Ctrl-C, `scancel` what still runs, and give the same command again" in told[1]
