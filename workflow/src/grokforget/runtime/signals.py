"""Asked to stop: by a scheduler that wants the machine back, by Ctrl-C, or because Snakemake is gone.

Long work saves what it has at its next step and goes on from there when it is run again; all else stops at once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

LEADER = "GROKFORGET_LEADER"
"""Host and process number of the Snakemake that a local job belongs to."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(BaseException):
    """The job was asked to stop; ``signal`` says how. No error, so no ``except Exception`` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


_asked: int | None = None
_saving = False


def listen() -> None:
    """Raise Interrupted where a signal arrives, unless the work has said that it will look for itself (``saving``)."""
    for number in SIGNALS:
        signal.signal(number, _arrived)
    leader = os.environ.get(LEADER, "").rpartition(":")
    if leader[0] == socket.gethostname():
        threading.Thread(target=_watch, args=(int(leader[2]),), daemon=True).start()


@contextmanager
def saving() -> Iterator[None]:
    """Work that calls ``stop_if_asked`` between its steps, having saved them."""
    global _saving
    _saving = True
    try:
        yield
    finally:
        _saving = False
    stop_if_asked()


def asked() -> bool:
    """Whether the job was asked to stop."""
    return _asked is not None


def stop_if_asked() -> None:
    """Raise Interrupted if the job was asked to stop."""
    if _asked is not None:
        raise Interrupted(_asked)


def ignore() -> None:
    """From here on no signal makes a difference: the job is ending because of one."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def lead() -> None:
    """Let the jobs that this process starts end with it.

    A job watches the Snakemake that started it: on a cluster that is the one of the job's own machine, which calls this too.
    """
    os.environ[LEADER] = f"{socket.gethostname()}:{os.getpid()}"


def _arrived(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = number
    if not _saving:
        raise Interrupted(number)


def _watch(leader: int) -> None:
    """A killed Snakemake leaves its jobs running; their results would come in the way of the next one's."""
    while True:
        time.sleep(1)
        try:
            os.kill(leader, 0)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        except PermissionError:
            return
