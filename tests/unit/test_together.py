"""Processes of one job end together: done, asked to stop, with the first error of any, or killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from grokforget.runtime import signals, together
from grokforget.runtime.files import DamagedFile
from grokforget.runtime.together import ProcessLost, run_together
from small import SOURCE

LONG = 60.0
"""Seconds that nothing here may take."""


@pytest.fixture(autouse=True)
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals arrive as in a job, and no test waits for a process that does not end."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    for name, value in (("_asked", None), ("_saving", False)):
        monkeypatch.setattr(signals, name, value)
    monkeypatch.delenv(signals.LEADER, raising=False)
    signals.listen()
    began = time.monotonic()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    assert time.monotonic() - began < LONG / 2


def say(rank: int, folder: Path) -> None:
    log = logging.getLogger("grokforget")
    log.info("at %s", "work")
    log.warning("%d of these", rank)
    (folder / str(rank)).write_text(str(os.getpid()))


def test_all_do_their_part_and_the_first_ones_lines_and_all_warnings_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="grokforget"):
        run_together(say, 2, tmp_path)
    assert sorted(caplog.messages) == ["0 of these", "at work", "process 2: 1 of these"]
    pids = {(tmp_path / str(rank)).read_text() for rank in range(2)}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def fail(rank: int) -> None:
    """The second fails; the first has an error because of it, the third waits for ever."""
    if rank == 1:
        raise DamagedFile(Path("a/b"), "is damaged")
    time.sleep(1 if rank == 0 else LONG)
    raise RuntimeError("the connection was closed")


def test_an_error_of_one_ends_all_and_is_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "SETTLING", 3.0)
    with pytest.raises(DamagedFile) as raised:
        run_together(fail, 3)
    assert str(raised.value) == "a/b is damaged"
    assert raised.value.path == Path("a/b")
    assert raised.value.__notes__ == ["in process 2 of 3"]
    assert "in fail" in str(raised.value.__cause__), "its trace is in the log"


class Unsendable(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} is not {other}")


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    error = OSError(28, "full")
    assert together._sendable(error) is error
    told = together._sendable(Unsendable(1, 2))
    assert (type(told), str(told)) == (RuntimeError, "Unsendable: 1 is not 2")


def test_too_little_memory_is_told_by_the_process_that_has_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "memory_needed", lambda error: "too little memory on the GPU: 3 GiB")
    told = together._sendable(type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})())
    assert (type(told), str(told)) == (MemoryError, "too little memory on the GPU: 3 GiB")


def be_killed(rank: int, folder: Path) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(LONG)


def test_one_that_is_killed_ends_all(tmp_path: Path) -> None:
    with pytest.raises(ProcessLost, match=r"^process 2 of 2 was killed by SIGKILL, without a word$"):
        run_together(be_killed, 2, tmp_path)
    assert not is_running(int((tmp_path / "pid").read_text()))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop_together(rank: int, folder: Path, sends: int | None) -> None:
    """The first sees the signal and tells the other, which sees none, though it would not wait for a good moment."""
    told = folder / "told"
    with signals.saving() if rank == 0 else nullcontext():
        (folder / f"pid{rank}").write_text(str(os.getpid()))
        if rank == 0 and sends is not None:
            while not (folder / "pid1").exists():
                time.sleep(0.01)
            # As Ctrl-C does: to the job's process and to both of its own.
            for pid in (os.getppid(), int((folder / "pid1").read_text()), os.getpid()):
                os.kill(pid, sends)
        while not (signals.asked() if rank == 0 else told.exists()):
            time.sleep(0.01)
        told.touch()
        (folder / f"saved{rank}").touch()
        signals.stop_if_asked()
        raise signals.Interrupted(signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_stops_them_as_the_first_says(number: int, tmp_path: Path) -> None:
    with pytest.raises(signals.Interrupted) as stopped:
        run_together(stop_together, 2, tmp_path, number)
    assert stopped.value.signal == number
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved0", "saved1"}


PARENT = """
import sys
from pathlib import Path
from grokforget.runtime import signals
from grokforget.runtime.together import run_together
from test_together import stop_together

if __name__ == "__main__":
    signals.listen()
    try:
        run_together(stop_together, 2, Path(sys.argv[1]), None)
    except signals.Interrupted as stopped:
        sys.exit(128 + stopped.signal)
"""


@pytest.mark.parametrize(("number", "saved"), [(signal.SIGTERM, 2), (signal.SIGUSR1, 2), (signal.SIGKILL, 0)])
def test_a_signal_to_the_job_reaches_all(number: int, saved: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    places = [str(SOURCE), str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    process = subprocess.Popen([sys.executable, script, tmp_path], env=environment)
    pids = [tmp_path / f"pid{rank}" for rank in range(2)]
    while not all(path.exists() and path.read_text() for path in pids):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(LONG / 2) == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 10
    while any(is_running(int(path.read_text())) for path in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(list(tmp_path.glob("saved*"))) == saved
