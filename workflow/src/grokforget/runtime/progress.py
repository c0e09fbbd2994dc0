"""Progress of long work: a bar where a person watches, plain log lines where not."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("grokforget")
LOG_SECONDS = 15.0
"""Seconds between two log lines."""


@contextmanager
def progress(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """Yield ``show(done, note)``. A tqdm bar on a terminal, otherwise a log line now and then and at the end, with the time left
    where it is known how many there are in all."""
    began = last = time.monotonic()
    first, note = done, ""
    bar = None
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(total=total, initial=done, desc=what, leave=False, mininterval=0.5, dynamic_ncols=True)

    def line() -> None:
        rate = (done - first) / max(time.monotonic() - began, 1e-9)
        of, left = (f"/{total}", (total - done) / rate if rate else 0) if total else ("", 0)
        until = f", about {left:.0f} s left" if left >= 1 else ""
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        log.info("%s %d%s (%s/s%s) %s", what, done, of, speed, until, note)

    def show(now: int, text: str = "") -> None:
        nonlocal last, done, note
        note = text
        if bar is not None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(now - done)
        done = now
        if time.monotonic() - last > LOG_SECONDS:
            last = time.monotonic()
            line()

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()
    line()
