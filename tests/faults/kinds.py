"""What can go wrong while a study runs. Each fault happens once, at a moment that the harness chooses."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

JOB = "grokforget"


@dataclass
class Victim:
    """A running Snakemake, the folder that it works in, and the dice."""

    process: subprocess.Popen[bytes]
    folder: Path
    dice: random.Random
    again: Callable[[], subprocess.CompletedProcess[str]]
    """Runs the same command a second time, to its end."""

    def jobs(self) -> list[psutil.Process]:
        """The stages that run at the moment."""
        return [process for process in descendants(self.process.pid) if JOB in " ".join(command(process))]

    def files(self, *endings: str) -> list[Path]:
        """Finished files of the study."""
        found = files_below(self.folder / "results")
        return sorted(path for path in found if path.suffix in endings and not path.name.startswith("."))


def files_below(folder: Path) -> list[Path]:
    """All files, whatever else comes and goes meanwhile: `os.walk` passes over what has just vanished, `rglob` raises."""
    return [Path(where) / name for where, _, names in os.walk(folder) for name in names]


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command(process: psutil.Process) -> list[str]:
    try:
        # The stage itself, not the shell around it.
        return process.cmdline() if "python" in process.name() else []
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def kill_a_job(victim: Victim) -> None:
    """SIGKILL to one stage, as the kernel does it when memory runs out."""
    jobs = victim.jobs()
    if jobs:
        with suppress(psutil.NoSuchProcess):
            victim.dice.choice(jobs).kill()


def stop_the_jobs(victim: Victim) -> None:
    """SIGTERM to all stages, as a scheduler does it that wants its machines back."""
    for job in victim.jobs():
        with suppress(psutil.NoSuchProcess):
            job.terminate()


def kill_snakemake(victim: Victim) -> None:
    """SIGKILL to Snakemake alone: its jobs go on for a moment, its locks stay."""
    victim.process.kill()


def kill_everything(victim: Victim) -> None:
    """SIGKILL to the whole process group, as a power cut does it."""
    to_all(victim, signal.SIGKILL)


def interrupt_everything(victim: Victim) -> None:
    """SIGINT to the whole process group: Ctrl-C."""
    to_all(victim, signal.SIGINT)


def stop_snakemake(victim: Victim) -> None:
    """SIGTERM to Snakemake."""
    victim.process.terminate()


def fill_the_disk(victim: Victim) -> None:
    """No space left for some seconds; the results lie on a disk of their own."""
    ballast = victim.folder / "results" / "ballast"
    # A little is left at times: files are cut short then, rather than never begun.
    left = victim.dice.choice([0, 20_000, 200_000])
    try:
        with open(ballast, "wb") as file:
            # The run writes too: what was free a moment ago may be so no longer, and then nothing at all is taken.
            for _ in range(100):
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(ballast.parent).free - left, 1))
                    break
        until = time.monotonic() + 8
        while victim.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        ballast.unlink()


def cut_a_file_short(victim: Victim) -> None:
    """A finished file loses its end."""
    for path in one(victim, ".safetensors", ".parquet"):
        with open(path, "r+b") as file:
            file.truncate(victim.dice.randrange(max(path.stat().st_size, 1)))


def damage_a_file(victim: Victim) -> None:
    """A bit of a finished file flips."""
    for path in one(victim, ".safetensors", ".parquet"):
        content = bytearray(path.read_bytes())
        if content:
            content[victim.dice.randrange(len(content))] ^= 1 << victim.dice.randrange(8)
            # In place, as a disk does it: links to the file are damaged too.
            with open(path, "r+b") as file:
                file.write(content)


def damage_a_record(victim: Victim) -> None:
    """A job's own notes are cut short."""
    for path in one(victim, ".json"):
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size // 2)


def remove_a_file(victim: Victim) -> None:
    """A finished file is gone."""
    for path in one(victim, ".safetensors", ".parquet", ".json", ".png", ".csv"):
        path.unlink()


def forget_snakemakes_notes(victim: Victim) -> None:
    """All is killed, and somebody cleans up `.snakemake`."""
    kill_everything(victim)
    victim.process.wait()
    shutil.rmtree(victim.folder / ".snakemake", ignore_errors=True)


def start_a_second_one(victim: Victim) -> None:
    """The same command, given while it runs: the second is sent away, and does no harm to the first. In the first one's last
    moments, when all files are there, it may also find that there is nothing to do."""
    second = victim.again()
    running = victim.process.poll() is None
    if running and second.returncode == 0 and "Nothing to be done" not in second.stdout:
        raise AssertionError(f"two at once on one folder were let in:\n{second.stdout}")
    if second.returncode and "is being worked on by" not in second.stdout:
        raise AssertionError(f"the second one was not told why:\n{second.stdout}")


def to_all(victim: Victim, number: signal.Signals) -> None:
    """A signal to the process group; nothing where the run has ended already."""
    with suppress(ProcessLookupError):
        os.killpg(victim.process.pid, number)


def one(victim: Victim, *endings: str) -> Iterator[Path]:
    """One of the finished files, where there is any."""
    found = victim.files(*endings)
    if found:
        yield victim.dice.choice(found)


KINDS: dict[str, Callable[[Victim], None]] = {
    kind.__name__.replace("_", " "): kind
    for kind in (
        kill_a_job,
        stop_the_jobs,
        kill_snakemake,
        kill_everything,
        interrupt_everything,
        stop_snakemake,
        fill_the_disk,
        cut_a_file_short,
        damage_a_file,
        damage_a_record,
        remove_a_file,
        forget_snakemakes_notes,
        start_a_second_one,
    )
}
