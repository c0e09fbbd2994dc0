"""What is looked after before a study's jobs start: bad surroundings are named, and no two runs work in one folder."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from grokforget.runtime import gpu, signals, slurm
from grokforget.runtime.errors import explain
from grokforget.runtime.expected import Forecast, jobs_of, seconds_of
from grokforget.runtime.remaining import Progress, Watch, kind_of
from grokforget.runtime.results import keys_of
from grokforget.runtime.run import FORCED
from grokforget.runtime.spec_file import write_spec
from grokforget.runtime.store import VARIABLE, Store

LEAST_SPACE = 64 * 2**20
"""Bytes that must be free before anything is started."""
ELSEWHERE = "ask for access, or work in a folder of your own with `--directory FOLDER`"
LOCK = ".lock"
_held: list[IO[str]] = []
_watches: list[Watch] = []
_unwritten: list[OSError] = []
"""Why spec files could not be written where they belong."""
_temporary: list[tempfile.TemporaryDirectory[str]] = []


class CannotRun(Exception):
    """Surroundings in which the study cannot run; the message names the remedy. Nothing was started."""


@dataclass(frozen=True)
class Settings:
    """What is asked of Snakemake's settings, in the one place that reads them.

    ``forced`` names what it was told to make again, rules and files, ``*`` for everything; ``here`` is whether jobs run on
    this machine; ``jobs`` are those that it will run, rule by job, none where they write to a storage, not to files here.
    """

    forced: Sequence[str]
    here: bool
    jobs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, workflow: Any) -> Settings:
        """Of Snakemake's ``workflow``, once a run starts."""
        dag = workflow.dag_settings
        forced = {"*"} if dag.forceall else {str(name) for name in dag.forcerun}
        if dag.forcetargets:
            forced |= {str(name) for name in dag.targets}
        stored = workflow.storage_settings.default_storage_provider
        return cls(sorted(forced), workflow.resource_settings.nodes is None, {} if stored else jobs_of(workflow))


def lead_jobs(jobs_per_gpu: int = 1) -> None:
    """Let the jobs that this Snakemake starts run this checkout's package with this Python, so many at once on a GPU, and end
    with it.

    The jobs run ``python -m grokforget``, so that `snakemake` works by its full path too and the package need not be installed.
    """
    first = {"PYTHONPATH": importable(Path(__file__).parents[2]), "PATH": Path(sys.executable).parent}
    for name, folder in first.items():
        places = [place for place in os.environ.get(name, "").split(os.pathsep) if place and place != str(folder)]
        os.environ[name] = os.pathsep.join([str(folder), *places])
    gpu.share(jobs_per_gpu)
    signals.lead()


def importable(source: Path) -> Path:
    """The folder by a path that can stand in PYTHONPATH, which has no way to write a colon: by a link to its checkout."""
    if os.pathsep not in str(source):
        return source
    checkout = source.parents[1]
    link = temporary() / "checkout"
    link.symlink_to(checkout, target_is_directory=True)
    return link / source.relative_to(checkout)


def temporary() -> Path:
    """A folder that goes with this process."""
    _temporary.append(tempfile.TemporaryDirectory(prefix="grokforget-"))
    return Path(_temporary[-1].name)


def plan(root: Path, key: str, items: Mapping[str, Any], rule: str) -> Path:
    """The spec file of a job, which is written while Snakemake plans.

    Where it cannot be written it lies in a temporary folder: a dry run, a graph, a summary or a report is answered in a
    folder of somebody else too, and a run is refused by ``begin``, before its first job.
    """
    try:
        return write_spec(root, key, items, rule)
    except OSError as error:
        if not _unwritten:
            temporary()
        _unwritten.append(error)
        return write_spec(root, key, items, rule, into=Path(_temporary[-1].name))


def look(root: Path, dryrun: bool) -> None:
    """Say, before Snakemake stumbles over it, what a run could not write: Snakemake's notes in the working folder, or the
    study's results. Raises CannotRun for a dry run that would fail.

    While a Snakefile is read nothing tells a run from a list, a graph or a report, which are answered all the same.
    """
    notes = Path(".snakemake") if Path(".snakemake").is_dir() else Path()
    for folder, what in ((notes, "Snakemake keeps its notes there"), (root, "the study's results lie there")):
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            told = f"{holder(root) if folder == root else ''}{unwritable(folder.absolute())}; {what}; {ELSEWHERE}."
            if dryrun and folder == notes:
                raise CannotRun(told)
            print(told, file=sys.stderr)


def begin(root: Path, gpus: int, settings: Settings, forecast: Forecast) -> None:
    """Before the first job of a run, whose jobs take so many GPUs at most, and of whose costs there is a forecast. Raises
    CannotRun."""
    seen = len(gpu.visible()) if gpus and settings.here else gpus
    if gpus and not seen:
        raise CannotRun("The study asks for `device: cuda`, and this machine shows no GPU; give `--config device=cpu`.")
    if seen < gpus:
        raise CannotRun(f"A recipe of the study says `processes: {gpus}`, and this machine shows GPUs for {seen} only.")
    if settings.here:
        check_memory(settings.jobs, forecast.gpu_needs(), gpus > 0)
    if not settings.here and slurm.is_there():
        complaint = slurm.complaint()
        if complaint:
            raise CannotRun(f"{complaint} {slurm.REMEDY}")
        slurm.watch()
    check_folder(root)
    if _unwritten:
        raise CannotRun(explain(_unwritten[0]))
    check_store(root)
    hold(root)
    (root / FORCED).unlink(missing_ok=True)
    if settings.forced:
        (root / FORCED).write_text(json.dumps(list(settings.forced)), encoding="utf-8")
    if settings.jobs:
        # A kind has many jobs, of which every look at a run asks.
        _watches.append(Watch(Progress(root, settings.jobs, cache(partial(seconds_of, forecast))), said))


def check_memory(jobs: Mapping[str, str], needs: Mapping[str, float], on_gpu: bool) -> None:
    """Raise CannotRun where a training job among ``jobs`` needs more than a GPU has, or without one this machine."""
    trained = {kind_of(rule, job)[1] for job, rule in jobs.items() if rule == "train"}
    room = gpu.memory() if on_gpu else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    too_much = {name: size for name, size in needs.items() if name in trained and size > (room or size)}
    if too_much:
        name = max(too_much, key=lambda name: too_much[name])
        where = "on a GPU, which has" if on_gpu else "of memory, and this machine has"
        raise CannotRun(
            f"settings.{name}: a training step needs at least {too_much[name] / 2**30:.1f} GiB {where} {room / 2**30:.1f} GiB; "
            "give its recipe a smaller `batch_size`, or `precision: bfloat16`, or the model a smaller width, or `lora` where it "
            "is of the hub."
        )


def said(text: str) -> None:
    """Say something between Snakemake's own lines, unless it was told to be quiet."""
    from snakemake.logging import logger

    logger.info(f"{text}.")


def end(root: Path, finished: bool) -> str:
    """After the last job: how far the run came, and what the store takes, in words. What nothing needs any more is removed
    from it."""
    (root / FORCED).unlink(missing_ok=True)
    told = [f"{root}: {_watches.pop().end()}."] if _watches else []
    if finished:
        store = Store(root)
        freed = store.sweep(keys_of(root))
        total, alone = store.size()
        swept = f"; {freed / 1e6:.1f} MB that nothing needs any more were removed" if freed else ""
        told.append(
            f"Store {store.folder}: {total / 1e6:.1f} MB, {alone / 1e6:.1f} MB of them beside the results{swept}."
        )
    return "".join(f"{line}\n" for line in told)


def check_folder(root: Path) -> None:
    """Make the study's folder; raise CannotRun where it, or a folder in it, cannot be written, or it has no room."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        above = next(path for path in root.parents if os.path.exists(path))
        reason = unwritable(above) if above.is_dir() and not writable(above) else str(error)
        raise CannotRun(f"{root} cannot be made: {reason}; {ELSEWHERE}.") from error
    folders = (Path(folder) for folder, _, _ in os.walk(root) if not os.access(folder, os.W_OK | os.X_OK))
    refused = next(folders, None) or (None if writable(root) else root)
    if refused:
        raise CannotRun(f"{holder(root)}{unwritable(refused)}; {ELSEWHERE}.")
    free = shutil.disk_usage(root).free
    if free < LEAST_SPACE:
        raise CannotRun(
            f"{root}: {free / 2**20:.0f} MB are free on its disk, at least {LEAST_SPACE / 2**20:.0f} MB must be; "
            "free some space. What was finished is kept."
        )


def check_store(root: Path) -> None:
    """Raise CannotRun where the shared store, or a folder of entries in it, is missing or not ours to write."""
    store = Store(root)
    if not store.shared:
        return
    remedy = f"make a folder that you can write, and give it: export {VARIABLE}=FOLDER; or unset {VARIABLE}"
    # Where a folder above is closed to us, Path.is_dir raises.
    if not os.path.isdir(store.folder):
        raise CannotRun(f"{VARIABLE}={store.folder}: there is no such folder that you can reach; {remedy}.")
    folders = [folder for folder in store.shelves() if not os.access(folder, os.W_OK | os.X_OK)]
    if folders or not writable(store.folder):
        raise CannotRun(f"{VARIABLE}={store.folder}: {unwritable([*folders, store.folder][0])}; {remedy}.")


def unwritable(path: Path) -> str:
    """That a file or folder cannot be written, and whose it is."""
    return f"{path} cannot be written by you{_of_another(path, ', and ')}"


def _of_another(path: Path, joined: str) -> str:
    """Behind ``joined`` whose a file is, where it is another user's."""
    owner = path.stat().st_uid
    return f"{joined}belongs to user {user(owner)}" if owner != os.geteuid() else ""


def user(number: int) -> str:
    """A user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


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
    try:
        file = open(root / LOCK, "a+", encoding="utf-8")  # noqa: SIM115 - held until the process ends
    except PermissionError:
        raise CannotRun(f"{holder(root)}{unwritable(root / LOCK)}; {ELSEWHERE}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CannotRun(f"{holder(root)}wait until it has ended, then give the command again.") from None
    except OSError:
        # A file system that knows no locks.
        file.close()
        return
    file.truncate(0)
    file.write(
        f"snakemake (process {os.getpid()} of user {user(os.geteuid())} on {socket.gethostname()}, "
        f"since {datetime.now():%Y-%m-%d %H:%M:%S})"
    )
    file.flush()
    _held.append(file)


def holder(root: Path) -> str:
    """Who works on the study, and a semicolon; nothing where nobody does, or it cannot be told."""
    with suppress(OSError), open(root / LOCK, encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"{root} is being worked on by {file.read().strip() or 'another process'}; "
    return ""
