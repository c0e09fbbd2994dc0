"""Faults at random moments of a small study, and whether the same command then ends with the same tables.

A run begins where an undisturbed one could have been interrupted: with the results of its first jobs, and none of the
later ones. Then comes the fault, at a random moment, and then the same command again until it succeeds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from faults.kinds import KINDS, Victim, files_below
from snakemake_runs import SMALL, Workspace

MOST_TRIES = 6
DISK = 96
"""Megabytes of the disk that the results of a run lie on: more than the study needs, and than must be free."""


@dataclass
class Outcome:
    """What came of one fault, which happened when the first ``moment`` jobs were done; the run began with ``done`` of them.
    ``tries`` counts the commands after the fault, the first that succeeded among them."""

    kind: str
    number: int
    done: int
    moment: int
    hit: bool
    tries: int
    identical: bool
    what: str = ""
    ran: bool = True

    def __str__(self) -> str:
        if not self.ran:
            return f"{self.number:4} {self.kind:28} NOT RUN: {self.what}"
        state = "identical" if self.identical else f"DIFFERENT {self.what}"
        hit = "" if self.hit else " (the run had ended)"
        when = f"begun with {self.done:2} jobs, at {self.moment:2}{hit}"
        return f"{self.number:4} {self.kind:28} {when}: {self.tries} more, {state}"


class Harness:
    """Runs faults one after the other, each in a folder of its own below ``folder``."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.reference = Workspace(folder / "undisturbed")
        self.reference.folder.mkdir(parents=True)
        began = time.monotonic()
        self.reference.snakemake(study=SMALL)
        self.duration = time.monotonic() - began
        self.jobs = self._order()

    def run(self, number: int) -> Outcome:
        """The fault of this number: its kind in turn, all else from the seed and the number."""
        dice = random.Random(f"{self.seed}/{number}")
        kind = list(KINDS)[number % len(KINDS)]
        workspace = Workspace(self.folder / f"fault{number:04d}")
        workspace.folder.mkdir()
        with disk(workspace.folder / "results") as own:
            done = self._begin(workspace, dice)
            outcome = Outcome(kind, number, done, dice.randrange(done, len(self.jobs)), True, 0, False)
            if kind == "fill the disk" and not own:
                outcome.ran, outcome.what = False, "a disk of its own for the results needs the right to mount one"
                return outcome
            self._disturb(workspace, dice, outcome)
            self._finish(workspace, outcome)
        shutil.rmtree(workspace.folder)
        return outcome

    def _begin(self, workspace: Workspace, dice: random.Random) -> int:
        """Give the run the results of the first jobs of the undisturbed one; how many. One in six begins from nothing."""
        done = dice.randrange(len(self.jobs) // 4, len(self.jobs)) if dice.randrange(6) else 0
        kept = {path for key in self.jobs[:done] for path in self._files(key)}
        for path in sorted(kept):
            target = workspace.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.reference.folder / path, target)
        return done

    def _disturb(self, workspace: Workspace, dice: random.Random, outcome: Outcome) -> None:
        process = subprocess.Popen(
            workspace.command(study=SMALL),
            cwd=workspace.folder,
            env=workspace.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # A moment is a job and a part of a job or two, for jobs take longer on a machine that does other things besides.
        records = workspace.folder / "results" / "small" / "jobs"
        while process.poll() is None and finished(records) < outcome.moment:
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0, 2.5))
        outcome.hit = process.poll() is None
        try:
            KINDS[outcome.kind](
                Victim(process, workspace.folder, dice, lambda: workspace.snakemake(study=SMALL, check=False))
            )
        except FileNotFoundError:
            # The run itself has taken the file away that was to be damaged.
            outcome.hit = False
        process.wait(900)

    def _finish(self, workspace: Workspace, outcome: Outcome) -> None:
        last = ""
        for outcome.tries in range(1, MOST_TRIES + 1):
            done = workspace.snakemake(study=SMALL, check=False)
            last = done.stdout
            if done.returncode == 0:
                break
        else:
            outcome.what = f"never finished:\n{last}"
            return
        wanted, found = self.reference.tables("small"), workspace.tables("small")
        outcome.what = ", ".join(
            sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        )
        left = workspace.planned(study=SMALL)
        if left:
            outcome.what += f" still to do: {dict(left)}"
        outcome.identical = not outcome.what

    def _order(self) -> list[str]:
        """Keys of the jobs in the order in which they ended."""
        root = self.reference.folder / "results" / "small" / "jobs"
        records = sorted(root.rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.relative_to(root).with_suffix("").as_posix() for path in records]

    def _files(self, key: str) -> Iterator[Path]:
        """A job's spec file, record, log, results and entries in the store, relative to the folder of a run."""
        root = Path("results") / "small"
        record = root / "jobs" / f"{key}.json"
        yield record
        yield root / "logs" / f"{key}.log"
        content = json.loads((self.reference.folder / record).read_text())
        yield from (root / name for name in content["wrote"])
        yield root / "specs" / key / "spec.json"
        for item in content["items"].values():
            entry = self.reference.folder / root / "store" / item["key"][:2] / item["key"]
            yield from (path.relative_to(self.reference.folder) for path in entry.iterdir())


def finished(records: Path) -> int:
    """How many jobs have written their record."""
    return sum(path.suffix == ".json" for path in files_below(records))


@contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """A small disk for the results, where this user may mount one; whether it is."""
    folder.mkdir()
    arguments = ["-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(folder)]
    own = os.geteuid() == 0 and subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    try:
        yield own
    finally:
        if own:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
