"""What is looked after before a study's jobs start: bad surroundings are named, and no two runs work in one folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from grokforget.runtime import gpu, signals, slurm
from grokforget.runtime.run import FORCED
from grokforget.runtime.store import VARIABLE, Store

LEAST_SPACE = 64 * 2**20
"""Bytes that must be free before anything is started."""
_held: list[IO[str]] = []


class CannotRun(Exception):
    """Surroundings in which the study cannot run; the message names the remedy. Nothing was started."""


@dataclass(frozen=True)
class Settings:
    """What is asked of Snakemake's settings, in the one place that reads them.

    ``forced`` names what it was told to make again, rules and files, ``*`` for everything; ``here`` is whether jobs run on
    this machine.
    """

    forced: Sequence[str]
    here: bool

    @classmethod
    def of(cls, workflow: Any) -> Settings:
        """Of Snakemake's ``workflow``, once a run starts."""
        dag = workflow.dag_settings
        forced = {"*"} if dag.forceall else {str(name) for name in dag.forcerun}
        if dag.forcetargets:
            forced |= {str(name) for name in dag.targets}
        return cls(sorted(forced), workflow.resource_settings.nodes is None)


def lead_jobs() -> None:
    """Let the jobs that this Snakemake starts run this checkout's package with this Python, and end with it.

    The jobs run ``python -m grokforget``, so that `snakemake` works by its full path too and the package need not be installed.
    """
    first = {"PYTHONPATH": Path(__file__).parents[2], "PATH": Path(sys.executable).parent}
    for name, folder in first.items():
        places = [place for place in os.environ.get(name, "").split(os.pathsep) if place and place != str(folder)]
        os.environ[name] = os.pathsep.join([str(folder), *places])
    signals.lead()


def begin(root: Path, device: str, settings: Settings) -> None:
    """Before the first job of a run. Raises CannotRun."""
    if device == "cuda" and settings.here and not gpu.visible():
        raise CannotRun("The study asks for `device: cuda`, and this machine shows no GPU; give `--config device=cpu`.")
    if not settings.here and slurm.is_there():
        complaint = slurm.complaint()
        if complaint:
            raise CannotRun(f"{complaint} {slurm.REMEDY}")
        slurm.watch()
    check_folder(root)
    check_store(root)
    hold(root)
    (root / FORCED).unlink(missing_ok=True)
    if settings.forced:
        (root / FORCED).write_text(json.dumps(list(settings.forced)), encoding="utf-8")


def end(root: Path, finished: bool) -> str:
    """After the last job; what the store takes, in words. What nothing needs any more is removed from it."""
    (root / FORCED).unlink(missing_ok=True)
    if not finished:
        return ""
    from grokforget.runtime.results import keys_of

    store = Store(root)
    freed = store.sweep(keys_of(root))
    total, alone = store.size()
    swept = f"; {freed / 1e6:.1f} MB that nothing needs any more were removed" if freed else ""
    return f"Store {store.folder}: {total / 1e6:.1f} MB, {alone / 1e6:.1f} MB of them beside the results{swept}."


def check_folder(root: Path) -> None:
    """Make the study's folder; raise CannotRun where it cannot be written or has no room."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"{root} cannot be made: {error}; give a folder that you can write with --directory."
        ) from error
    check_writable(root)
    free = shutil.disk_usage(root).free
    if free < LEAST_SPACE:
        raise CannotRun(
            f"{root}: {free / 2**20:.0f} MB are free on its disk, at least {LEAST_SPACE / 2**20:.0f} MB must be; "
            "free some space. What was finished is kept."
        )


def check_writable(root: Path) -> None:
    """Raise CannotRun where the study's folder, or the one that it is to be made in, cannot be written."""
    there = next(path for path in (root, *root.parents) if path.is_dir())
    if not writable(there):
        raise CannotRun(f"{there} cannot be written; give yourself permission, or another folder with --directory.")


def check_store(root: Path) -> None:
    """Raise CannotRun where the shared store is missing or not ours to write."""
    store = Store(root)
    if not store.shared:
        return
    remedy = f"make a folder that you can write, and give it: export {VARIABLE}=FOLDER; or unset {VARIABLE}"
    if not store.folder.is_dir():
        raise CannotRun(f"{VARIABLE}={store.folder}: there is no such folder; {remedy}.")
    if not writable(store.folder):
        status = store.folder.stat()
        owner = f"belongs to user {status.st_uid}, and " if status.st_uid != os.getuid() else ""
        raise CannotRun(f"{VARIABLE}={store.folder}: the folder {owner}cannot be written by you; {remedy}.")


def writable(folder: Path) -> bool:
    """Whether a file can really be made there: permissions alone do not tell it of a file system that is mounted to be
    read, or from root."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def hold(root: Path) -> None:
    """Lock the study until this process ends, however it ends. Raises CannotRun while another one holds it.

    It stands in for Snakemake's own locks, which stay behind when it is killed (``nolock`` in the profiles).
    """
    file = open(root / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise CannotRun(
            f"{root} is being worked on by {holder}; wait until it has ended, then give the command again."
        ) from None
    except OSError:
        # A file system that knows no locks.
        file.close()
        return
    file.truncate(0)
    file.write(f"snakemake (process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S})")
    file.flush()
    _held.append(file)
