"""Asked to stop, a job stops at once, or saves first where it says that it will."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import grokforget.__main__ as main
from grokforget.config.specs import runs
from grokforget.runtime import paths, run, spec_file
from grokforget.runtime import signals as interruption
from grokforget.runtime.job import Job
from grokforget.runtime.record import read_record
from grokforget.runtime.signals import Interrupted, asked, lead, listen, saving, stop_if_asked
from grokforget.runtime.spec_file import write_spec
from grokforget.runtime.store import VARIABLE
from small import SOURCE, small

KEY = "data/addition/examples"


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals arrive as in a job, and as before once the test is over."""
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    for name, value in (("_asked", None), ("_saving", False)):
        monkeypatch.setattr(interruption, name, value)
    monkeypatch.delenv(interruption.LEADER, raising=False)
    listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_once_what_does_not_save(listening: None, number: int) -> None:
    assert not asked()
    stop_if_asked()
    with pytest.raises(Interrupted, match=signal.Signals(number).name) as stopped:
        os.kill(os.getpid(), number)
    assert stopped.value.signal == number
    assert not isinstance(stopped.value, Exception), "nothing that handles errors may swallow it"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_what_saves_to_look(listening: None, number: int) -> None:
    with saving():
        stop_if_asked()
        os.kill(os.getpid(), number)
        assert asked()
        with pytest.raises(Interrupted) as stopped:
            stop_if_asked()
        interruption._asked = None
    assert stopped.value.signal == number


def test_who_never_looks_is_stopped_at_the_end_of_saving(listening: None) -> None:
    with pytest.raises(Interrupted), saving():
        os.kill(os.getpid(), signal.SIGTERM)


def test_after_saving_signals_stop_at_once_again(listening: None) -> None:
    with saving():
        pass
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_error_while_saving_is_not_hidden_by_the_signal(listening: None) -> None:
    def fail() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), saving():
        fail()
    assert asked()


# The jobs of a Snakemake that is gone.
CHILD = """
import sys, time
from grokforget.runtime.signals import Interrupted, listen
listen()
print("listening", flush=True)
try:
    time.sleep(20)
except Interrupted as stopped:
    sys.exit(128 + stopped.signal)
"""
LEADER = """
import subprocess, sys, time
from grokforget.runtime.signals import lead
{lead}
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
print(child.pid, flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize("local", [True, False])
def test_jobs_end_with_the_process_that_leads_them_and_not_with_another(local: bool) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER.format(lead="lead()" if local else ""), CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), interruption.LEADER: ""},
    )
    said = sorted(leader.stdout.readline().strip() for _ in range(2))
    assert said[1] == "listening"
    child = int(said[0])
    leader.kill()
    leader.wait()
    # The pipe closes when the child, which has it too, has ended.
    closed = threading.Thread(target=leader.stdout.read, daemon=True)
    closed.start()
    closed.join(6 if local else 2.5)
    assert closed.is_alive() != local
    if not local:
        os.kill(child, signal.SIGKILL)
        closed.join(5)
    leader.stdout.close()


@pytest.mark.parametrize("leader", ["elsewhere:1", "", "nonsense"])
def test_a_leader_on_another_machine_is_not_watched(
    listening: None, leader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(interruption.LEADER, leader)
    before = threading.active_count()
    listen()
    assert threading.active_count() == before


def test_a_leader_names_its_host_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(interruption.LEADER, "before")
    for _ in range(2):
        lead()
        assert os.environ[interruption.LEADER] == f"{socket.gethostname()}:{os.getpid()}"


# Jobs.
def run_one(folder: Path, function: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch) -> tuple[int, Path]:
    """A job in this process whose function is another; its exit status and record."""
    monkeypatch.delenv(VARIABLE, raising=False)
    load = run.load_implementation
    replaced = "grokforget.jobs.prepare:prepare"
    monkeypatch.setattr(run, "load_implementation", lambda path: function if path == replaced else load(path))
    root = folder / "results" / "small"
    spec = write_spec(root, KEY, runs.prepare(small(), "addition"), "prepare")
    record = root / paths.record_of(KEY)
    handlers, level = list(main.log.handlers), main.log.level
    try:
        return main.main(["run", str(spec), "--record", str(record), "--log", str(folder / "job.log")]), record
    finally:
        for handler in set(main.log.handlers) - set(handlers):
            main.log.removeHandler(handler)
        main.log.setLevel(level)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_job_that_was_stopped_says_so_and_has_no_record(
    listening: None, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    status, record = run_one(tmp_path, lambda job: os.kill(os.getpid(), number), monkeypatch)
    assert status == 128 + number
    assert not record.exists()
    told = capsys.readouterr().err
    assert f"prepare was stopped by {signal.Signals(number).name}; the same command goes on" in told
    assert "Traceback" not in told + (tmp_path / "job.log").read_text()


def test_a_second_signal_does_not_make_an_error_of_it(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches a job from the terminal, and again from Snakemake, which ends its jobs."""

    class Again(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.WARNING:
                os.kill(os.getpid(), signal.SIGTERM)

    again = Again()
    main.log.addHandler(again)
    try:
        status, _ = run_one(tmp_path, lambda job: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
    finally:
        main.log.removeHandler(again)
    assert status == 128 + signal.SIGINT


def test_a_job_that_is_done_leaves_a_record_and_nothing_to_go_on_from(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(job: Job) -> None:
        assert job.scratch
        (job.scratch / "partial").touch()
        for path in job.outputs.values():
            path.write_text("done")

    status, record = run_one(tmp_path, function, monkeypatch)
    noted = read_record(record)
    assert status == 0
    assert noted
    assert list(noted["wrote"]) == [f"{KEY}.safetensors", "data/addition/labels.csv"]
    root = tmp_path / "results" / "small"
    assert (root / f"{KEY}.safetensors").read_text() == "done"
    assert list((root / "store" / "unfinished").iterdir()) == []
    assert {path.name for path in record.parent.iterdir()} == {"examples.json"}
    log = (tmp_path / "job.log").read_text()
    assert f"wrote {root / KEY}.safetensors (4 bytes" in log


def test_an_error_is_told_in_words_and_with_its_trace_in_the_log(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(job: Job) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    status, record = run_one(tmp_path, full, monkeypatch)
    assert (status, record.exists()) == (1, False)
    told = capsys.readouterr().err
    assert told.startswith("prepare failed: [Errno 28] No space left on device: there is no space left on the disk")
    assert "What was finished is kept." in told
    assert "Traceback" not in told
    assert "Traceback" in (tmp_path / "job.log").read_text()


def test_what_a_job_can_go_on_from_is_kept_where_it_fails(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(job: Job) -> None:
        assert job.scratch
        (job.scratch / "partial").write_text("half")
        raise ValueError

    status, _ = run_one(tmp_path, function, monkeypatch)
    assert status == 1
    root = tmp_path / "results" / "small"
    assert [path.read_text() for path in root.glob("store/unfinished/*/partial")] == ["half"]


def test_code_that_was_changed_after_planning_is_told(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ran: list[Job] = []
    prints = iter(["as planned"])
    monkeypatch.setattr(spec_file, "fingerprint", lambda *names: next(prints, "other"))
    status, record = run_one(tmp_path, ran.append, monkeypatch)
    assert (status, ran, record.exists()) == (1, [], False)
    assert "was changed after this job was planned; give the same command again" in capsys.readouterr().err
