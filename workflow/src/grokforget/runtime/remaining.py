"""How far a run of a study is: how many of its jobs have ended, what share of the work that is, and about how long the rest
takes.

All of it is read from files, which jobs on other machines write too: a job has ended once its record is another than before
the run, and it runs once its log is. What a job costs is known from those of its kind (one rule, one setting) that have
ended, in this run or before it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from grokforget.runtime import paths
from grokforget.runtime.record import read_record

LOG = f"{paths.LOGS}/progress.log"
LOOK_SECONDS, LINE_SECONDS, SILENT_SECONDS = 5.0, 30.0, 600.0
"""Between two looks; between two lines where jobs have ended; and where none has."""
START = 0.5
"""Seconds that a job takes beside what its record says, which is all that one takes whose results are kept."""
Kind = tuple[str, str]
"""Rule, and setting or what else a job belongs to."""


class Progress:
    """A run's jobs: which have ended, what they cost, and what the others may cost."""

    def __init__(
        self,
        root: Path,
        jobs: Mapping[str, str],
        forecast: Callable[[Kind], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``jobs`` that the run is to do, in the study's folder ``root``: rule by job; ``forecast``: about how many seconds a
        job of a kind takes of which none has ended. Made before the first one starts."""
        self.root, self.jobs, self.forecast, self.clock = root, jobs, forecast, clock
        self.began = clock()
        self.before = {job: self._changed_at(job) for job in jobs}
        self.costs: dict[str, float] = {}
        """Of the jobs that have ended, seconds."""
        self.running: dict[str, float] = {}
        """Since when the other ones that have started were seen to run."""
        self.usual: dict[Kind, float] = {}
        """Means of what the study's jobs cost before this run."""

    def _changed_at(self, job: str) -> tuple[int, int]:
        """When record and log were written, 0 for one that is not there; Snakemake deletes both before it starts a job."""
        return changed_at(self.root / paths.record_of(job)), changed_at(self.root / paths.log_of(job))

    def remember(self, records: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """What jobs cost before this run, by their records; those that kept results say nothing of what it costs to make them."""
        computed = (
            (job, record)
            for job, record in records
            if all(item["status"] == "computed" for item in record["items"].values())
        )
        self.usual = means((kind_of(record["spec"]["rule"], job), cost(record)) for job, record in computed)

    def look(self) -> bool:
        """Look which jobs have ended or started; whether any has ended since the last look."""
        ended = len(self.costs)
        for job in self.jobs.keys() - self.costs.keys():
            record, log = self._changed_at(job)
            if record and record != self.before[job][0]:
                found = read_record(self.root / paths.record_of(job))
                if found:
                    self.costs[job] = cost(found)
                    self.running.pop(job, None)
            elif log and log != self.before[job][1]:
                self.running.setdefault(job, self.clock())
        return len(self.costs) > ended

    def expected(self) -> dict[str, float]:
        """What the jobs that have not ended may cost, seconds.

        As those of the kind in this run; else as those before it, or of the rule, times what this run's jobs cost compared
        with that: on a slower machine, or where results are kept. A job that has run for longer tells of its kind too.
        """
        kinds = {job: kind_of(rule, job) for job, rule in self.jobs.items()}

        def before(kind: Kind) -> float:
            return self.usual.get(kind) or self.usual.get((kind[0], "")) or self.forecast(kind)

        now = self.clock()
        here = means((kinds[job], spent) for job, spent in self.costs.items())
        ratio = sum(self.costs.values()) / sum(before(kinds[job]) for job in self.costs) if self.costs else 1.0
        least: dict[Kind, float] = defaultdict(float)
        for job, since in self.running.items():
            least[kinds[job]] = max(least[kinds[job]], now - since)

        def of_kind(kind: Kind) -> float:
            if kind in here:
                return here[kind]
            if kind not in self.usual and (kind[0], "") in here:
                return here[kind[0], ""]
            return before(kind) * ratio

        found = {kind: max(of_kind(kind), least[kind]) for kind in set(kinds.values())}
        return {job: found[kind] for job, kind in kinds.items() if job not in self.costs}

    def line(self) -> str:
        """How far the run is, in words."""
        told = f"{len(self.costs)} of {len(self.jobs)} jobs are done"
        now = self.clock()
        expected = self.expected()
        if not expected:
            return f"{told}, in {duration(now - self.began)}"
        running = {job: min(now - since, expected[job]) for job, since in self.running.items()}
        done = sum(self.costs.values()) + sum(running.values())
        left = {job: seconds - running.get(job, 0.0) for job, seconds in expected.items()}
        work = sum(left.values())
        if not self.costs and not self.usual:
            return f"{told}; how long they take is not known yet"
        share = f"about {100 * done / (done + work):.0f} % of the work"
        if not done:
            return f"{told}, {share}"
        # So much at a time as up to now, and no sooner than the longest job.
        rest = max(work * (now - self.began) / done, *left.values())
        return f"{told}, {share}; about {duration(rest)} left"


class Watch:
    """Tells now and then how far a run is, from a thread of its own, and notes it in ``logs/progress.log``."""

    def __init__(self, progress: Progress, tell: Callable[[str], None], every: float = LOOK_SECONDS) -> None:
        self.progress, self.tell, self.every = progress, tell, every
        self.log = progress.root / LOG
        with suppress(OSError):
            self.log.unlink()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def end(self) -> str:
        """Stop; how far the run came, in words."""
        self.over.set()
        self.thread.join()
        self.progress.look()
        line = self.progress.line()
        self._note(line)
        return line

    def _note(self, line: str) -> None:
        # A full disk is told by the jobs.
        with suppress(OSError):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def _look(self) -> None:
        from grokforget.runtime.results import records_of

        self.progress.remember(records_of(self.progress.root))
        said = self.progress.clock()
        ended, pause = False, self.every
        while not self.over.wait(pause):
            began = time.monotonic()
            ended |= self.progress.look()
            # With very many jobs, or a slow file system, looking must not become work of its own.
            pause = max(self.every, 20 * (time.monotonic() - began))
            silent = self.progress.clock() - said
            if (ended and silent > LINE_SECONDS) or silent > SILENT_SECONDS:
                line = self.progress.line()
                self._note(line)
                self.tell(line)
                said, ended = self.progress.clock(), False


def changed_at(file: Path) -> int:
    """When a file was written, nanoseconds; 0 where it is not there."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def kind_of(rule: str, job: str) -> Kind:
    """Rule and setting; of a job that belongs to no setting, what stands there in its path."""
    return rule, job.split("/")[1] if "/" in job else job


def cost(record: Mapping[str, Any]) -> float:
    """Seconds of a job."""
    return START + float(record["costs"]["imports_s"]) + float(record["costs"]["work_s"])


def means(costs: Iterable[tuple[Kind, float]]) -> dict[Kind, float]:
    """The mean cost by kind, and by rule under ``(rule, "")``."""
    found: dict[Kind, list[float]] = defaultdict(list)
    for kind, spent in costs:
        found[kind].append(spent)
        found[kind[0], ""].append(spent)
    return {kind: sum(spent) / len(spent) for kind, spent in found.items()}


def duration(seconds: float) -> str:
    """A time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} days"
