"""Work of one job in several processes of this machine, which end together.

The job's own process computes nothing: it holds the locks, the store and the log, waits for the others, and tells of them.
So a signal, an error and a kill mean what they mean for any other job. It is the part of ``torchrun`` that a job needs:
that one has a signal handler, a log and words for errors of its own.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from grokforget.runtime import signals
from grokforget.runtime.gpu import is_out_of_memory, memory_needed

log = logging.getLogger("grokforget")
SETTLING = 2.0
"""Seconds that are left to the other processes when one has failed: an error that it brought about may be seen before it."""


class ProcessLost(Exception):
    """A process of several ended without a word."""


@dataclass
class Outcome:
    """How a process's work ended, and when, in seconds of the machine's clock; with neither error nor signal it was done."""

    when: float
    error: Exception | None = None
    trace: str = ""
    signal: int | None = None


@dataclass
class Member:
    """One of the processes, as the job's own sees it."""

    rank: int
    process: BaseProcess
    connection: Connection
    outcome: Outcome | None = None

    def listen(self) -> None:
        """Take what it has said so far."""
        try:
            while self.connection.poll():
                said = self.connection.recv()
                if isinstance(said, Outcome):
                    self.outcome = said
                else:
                    log.handle(said)
        except (EOFError, OSError):
            return

    @property
    def ended(self) -> bool:
        return self.process.exitcode is not None

    @property
    def failed(self) -> bool:
        return self.outcome.error is not None if self.outcome else self.ended


def run_together(work: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call ``work(rank, *arguments)`` in ``count`` processes, ranks from 0, and wait for all; what is passed is pickled.

    A signal is passed on to the first, which is to agree with the others on where to stop; Interrupted is raised once all
    have. Where one fails the others are killed, and its error, by a note with its rank, is raised here: the first one where
    several failed, since those that waited for it fail too. Log lines of the first, and warnings of all, go to this
    process's log. When this process is killed all end at once.
    """
    context = multiprocessing.get_context("spawn")
    members: list[Member] = []
    with signals.saving():
        try:
            # Signals wait until a process has said what they mean to it.
            signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
            for rank in range(count):
                receiving, sending = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(work, rank, sending, arguments), daemon=True)
                process.start()
                sending.close()
                members.append(Member(rank, process, receiving))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
            _wait(members)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
            for member in members:
                member.process.kill()
                member.process.join()
    if stopped := [member.outcome.signal for member in members if member.outcome and member.outcome.signal]:
        raise signals.Interrupted(stopped[0])


def _wait(members: list[Member]) -> None:
    """Until all have ended; raises the error of the first that failed."""
    passed_on, until = False, None
    while running := [member for member in members if not member.ended]:
        wait([thing for member in running for thing in (member.connection, member.process.sentinel)], timeout=0.2)
        for member in members:
            member.listen()
        if signals.asked() and not passed_on:
            passed_on = True
            members[0].process.terminate()
        if until is None and any(member.failed for member in members):
            until = time.monotonic() + SETTLING
        if until is not None and time.monotonic() > until:
            break
    for member in members:
        member.listen()
    failed = [member for member in members if member.failed]
    if failed:
        # One that was killed told nobody when.
        first = min(failed, key=lambda member: member.outcome.when if member.outcome else 0.0)
        raise _error_of(first, len(members))


def _error_of(member: Member, count: int) -> Exception:
    where = f"in process {member.rank + 1} of {count}"
    if member.outcome is None or member.outcome.error is None:
        code = member.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return ProcessLost(f"process {member.rank + 1} of {count} {how}, without a word")
    error = member.outcome.error
    error.add_note(where)
    error.__cause__ = RuntimeError(f"{where}:\n{member.outcome.trace}")
    return error


class _Handler(QueueHandler):
    """Gives log lines to the job's process."""

    def __init__(self, connection: Connection, rank: int) -> None:
        super().__init__(connection)  # type: ignore[arg-type]
        self.connection, self.rank = connection, rank

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.rank:
            record.msg = f"process {self.rank + 1}: {record.msg}"
        self.connection.send(record)


def _work(work: Callable[..., None], rank: int, connection: Connection, arguments: tuple[Any, ...]) -> None:
    """What a process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log.handlers = [_Handler(connection, rank)]
    log.setLevel(logging.WARNING if rank else logging.INFO)
    # A terminal, and some schedulers, give a signal to all at once: that the first has it is enough.
    signals.ignore() if rank else signals.listen()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
        work(rank, *arguments)
        outcome = Outcome(time.monotonic())
    except signals.Interrupted as stopped:
        outcome = Outcome(time.monotonic(), signal=stopped.signal)
    except Exception as error:
        outcome = Outcome(time.monotonic(), _sendable(error), traceback.format_exc())
    signals.ignore()
    connection.send(outcome)
    connection.close()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # At once: libraries that wait for the other processes when they are taken apart would wait for ever after an error.
    os._exit(1 if outcome.error else 0)


def _sendable(error: Exception) -> Exception:
    """The error, or one that says the same where it cannot be sent or means something in its own process alone."""
    if is_out_of_memory(error):
        return MemoryError(memory_needed(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
