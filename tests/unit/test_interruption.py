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
from grokforget import interruption, seal
from grokforget.interruption import Interrupted, asked, lead, listen, saving, stop_if_asked
from grokforget.paths import kept_of
from grokforget.recipes import Task, canonical, recipe, task
from grokforget.records import read_record
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_rows
from small import SOURCE


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
from grokforget.interruption import Interrupted, listen
listen()
print("listening", flush=True)
try:
    time.sleep(20)
except Interrupted as stopped:
    sys.exit(128 + stopped.signal)
"""
LEADER = """
import subprocess, sys, time
from grokforget.interruption import lead
lead(local={local})
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
print(child.pid, flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize("local", [True, False])
def test_local_jobs_end_with_the_process_that_leads_them(local: bool) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER.format(local=local), CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
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
    lead(local=True)
    assert os.environ[interruption.LEADER] == f"{socket.gethostname()}:{os.getpid()}"
    lead(local=False)
    lead(local=False)
    assert interruption.LEADER not in os.environ


# Jobs.
def run_job(
    folder: Path, stage: Callable[[Job], None], monkeypatch: pytest.MonkeyPatch, made: Task | None = None
) -> tuple[int, Path]:
    """A job in this process whose stage is another function; its exit status and record."""
    monkeypatch.setattr(main, "load_implementation", lambda path: stage)
    record = folder / "jobs" / "split.json"
    output = folder / ("splits/@.parquet" if made else "split.txt")
    arguments = ["split", "--task", canonical(made or task("split", {"n": 1})), "--output", "split", str(output)]
    handlers, level = list(main.log.handlers), main.log.level
    try:
        return main.main([*arguments, "--record", str(record), "--log", str(folder / "split.log")]), record
    finally:
        for handler in set(main.log.handlers) - set(handlers):
            main.log.removeHandler(handler)
        main.log.setLevel(level)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_job_that_was_stopped_says_so_and_has_no_record(
    listening: None, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    status, record = run_job(tmp_path, lambda job: os.kill(os.getpid(), number), monkeypatch)
    assert status == 128 + number
    assert not record.exists()
    told = capsys.readouterr().err
    assert f"split was stopped by {signal.Signals(number).name}; the same command goes on" in told
    assert "Traceback" not in told + (tmp_path / "split.log").read_text()


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
        status, _ = run_job(tmp_path, lambda job: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
    finally:
        main.log.removeHandler(again)
    assert status == 128 + signal.SIGINT


def test_a_job_that_is_done_leaves_a_record_and_nothing_to_go_on_from(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(job: Job) -> None:
        job.scratch.mkdir(parents=True)
        (job.scratch / "partial").touch()
        job.outputs["split"].write_text("done")

    status, record = run_job(tmp_path, stage, monkeypatch)
    noted = read_record(record)
    assert status == 0
    assert noted["recipe"] == recipe(task("split", {"n": 1}))
    assert list(noted["wrote"]) == ["split.txt"]
    assert {path.name for path in record.parent.iterdir()} == {"split.json"}


def test_a_batch_notes_its_units_and_their_files_and_reads_nothing_of_its_own(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "_intact", set())
    write_rows(tmp_path / "input.parquet", [{"n": 1}])

    def stage(job: Job) -> None:
        read_table(tmp_path / "input.parquet")
        write_rows(job.outputs["split"], [{"n": job.spec["n"]}])

    for units, done in (
        ({"a": 1}, {"a": "computed"}),
        ({"a": 1, "b": 2}, {"a": "kept", "b": "computed"}),
    ):
        made = task("split", {}, {}, {name: ({"n": n}, {}) for name, n in units.items()})
        status, record = run_job(tmp_path, stage, monkeypatch, made)
        noted = read_record(record)
        assert (status, noted["units"], noted["recipe"]) == (0, done, recipe(made))
        assert list(noted["read"]) == ["input.parquet"]
        assert list(noted["wrote"]) == [f"splits/{name}.parquet" for name in units]
    assert len(list(kept_of(record).iterdir())) == 2, "what is kept stays for the next run"


def test_what_a_job_can_go_on_from_is_kept_until_its_record_is_written(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Snakemake deletes what a job has written that fails, be it at the last moment."""

    def stage(job: Job) -> None:
        job.scratch.mkdir(parents=True)
        (job.scratch / "partial").write_text("half")

    def fail(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("grokforget.records.write_record", fail)
    status, record = run_job(tmp_path, stage, monkeypatch)
    assert status == 1
    assert "What was finished is kept." in capsys.readouterr().err
    assert [path.read_text() for path in kept_of(record).glob("*/partial")] == ["half"]


def test_code_that_was_changed_after_planning_is_not_run(
    listening: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(main, "fingerprint", lambda *names: "other")
    ran: list[Job] = []
    status, record = run_job(tmp_path, ran.append, monkeypatch)
    assert (status, ran, record.exists()) == (1, [], False)
    assert "the code behind split was changed after this job had been planned" in capsys.readouterr().err
