"""Progress: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from grokforget.runtime import progress as module
from grokforget.runtime.progress import progress

SOURCE = Path(__file__).parents[2] / "workflow" / "src"
CODE = """
from grokforget.runtime.progress import progress
with progress("train", 1000) as show:
    for step in range(0, 1001, 100):
        show(step, f"accuracy {step / 1000:.1f}")
"""


def test_log_lines_come_now_and_then_and_at_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_SECONDS", -1)
    with caplog.at_level(logging.INFO, logger="grokforget"), progress("train", 20, 10) as show:
        show(15, "half way")
        show(20, "there")
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == 3
    assert texts[0].startswith("train 15/20")
    assert texts[0].endswith("half way")
    assert texts[-1].startswith("train 20/20")


@pytest.mark.parametrize(
    ("total", "told"), [(20, "train 5/20 (0.25/s, about 60 s left) half way"), (None, "train 5 (0.25/s) half way")]
)
def test_a_line_tells_the_time_left_where_it_is_known_how_many_there_are(
    total: int | None, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with caplog.at_level(logging.INFO, logger="grokforget"), progress("train", total) as show:
        now[0] += 20
        show(5, "half way")
    assert caplog.records[0].getMessage() == told


def test_a_person_sees_a_bar_and_a_pipe_does_not() -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm"}
    piped = subprocess.run([sys.executable, "-c", CODE], capture_output=True, env=environment, check=True)
    assert piped.stderr == b""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    subprocess.run([sys.executable, "-c", CODE], stderr=theirs, env=environment, check=True)
    shown = os.read(ours, 10000).decode()
    os.close(theirs)
    os.close(ours)
    assert "train" in shown
    assert "%|" in shown
