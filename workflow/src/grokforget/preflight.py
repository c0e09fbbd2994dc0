"""What is looked after before Snakemake plans its jobs: bad surroundings are named, and no work is lost or taken for valid.

``workflow`` is Snakemake's own object; its settings are those of the command line and the profile.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from grokforget import devices, interruption, paths, scheduler
from grokforget.plan import Plan
from grokforget.recipes import canonical
from grokforget.staleness import Stale, standing, summary

CACHE = "SNAKEMAKE_OUTPUT_CACHE"
LEAST_SPACE = 64 * 2**20
"""Bytes that must be free before anything is started."""
QUERIES = frozenset(
    {
        *("--lint", "--report", "--archive", "--containerize", "--export-cwl", "--print-compilation", "--help", "-h"),
        *("--rulegraph", "--dag", "--d3dag", "--filegraph", "--list-rules", "--list", "--list-target-rules"),
        *("--summary", "-S", "--detailed-summary", "-D", "--list-input-changes", "--list-code-changes"),
        *("--list-params-changes", "--list-untracked", "--conda-list-envs"),
        *("--unlock", "--cleanup-metadata", "--cleanup-shadow"),
    }
)
"""Options with which Snakemake reads the workflow and runs nothing of it."""
_held: list[IO[str]] = []


class CannotRun(Exception):
    """Surroundings in which the study cannot run; the message names the remedy. Nothing was started."""


@dataclass(frozen=True)
class Outlook:
    """What Snakemake is told of the results that are there: the records of those that it must make again without knowing it
    (``unseen``), and the keys of the jobs whose results are valid. None of them: this is no run, or one job of it."""

    unseen: list[str]
    valid: frozenset[str] | None


def prepare_run(workflow: Any, plan: Plan) -> Outlook:
    """Look after everything that is outside of the study, while the Snakefile is read. Raises CannotRun."""
    from snakemake_interface_executor_plugins.settings import ExecMode

    main = workflow.exec_mode == ExecMode.DEFAULT
    lead_jobs_here()
    # Jobs on other machines are not children of this process; those that a cluster's job starts on its machine are.
    interruption.lead(local=not main or workflow.resource_settings.nodes is None)
    if not main or not QUERIES.isdisjoint(sys.argv):
        return Outlook([], None)
    check_cache(workflow.workflow_settings.cache is not None)
    root = Path(plan.root)
    if plan.study.device == "cuda" and workflow.resource_settings.nodes is None:
        share_devices(workflow)
    if not workflow.output_settings.dryrun:
        if workflow.resource_settings.nodes is not None and scheduler.is_there():
            complaint = scheduler.complaint()
            if complaint:
                raise CannotRun(f"{complaint} {scheduler.REMEDY}")
            scheduler.watch()
        check_folder(root)
        hold(root)
    found = standing(root, [*plan.jobs(), *(plan.tuning_jobs() if "tuning" in sys.argv else [])])
    if found.stale:
        from snakemake.logging import logger

        logger.info("Out of date:\n" + "\n".join(f"    {line}" for line in summary(found.stale)))
    unseen = [str(root / paths.record_of(item.job.key)) for item in found.stale if not seen_by_snakemake(root, item)]
    return Outlook(unseen, found.valid)


def force(workflow: Any, records: list[str]) -> None:
    """Have Snakemake run the jobs of these records where its targets need them. It must have begun to plan, which is when
    it calls input functions; `--forcerun` would make targets of them all."""
    if workflow.dag is not None and workflow.scheduling_settings is not None:
        workflow.dag.forcefiles.update(records)
        look_behind_valid_results(workflow.dag)
        if workflow.local_exec:
            # Snakemake's limit on submissions per second looks at all waiting jobs once more, a second later, for every job that
            # ends, and again for every such look: with hundreds of jobs waiting it came to take a third of a core. A profile's
            # limit for a cluster is left.
            workflow.scheduling_settings.max_jobs_per_timespan = None


def look_behind_valid_results(dag: Any) -> None:
    """Have Snakemake look for reasons of their own in jobs behind valid results.

    ``DAG.update_needrun`` asks no job for a reason that lies downstream of one that runs, since it would run in any case. Not so
    behind a job whose inputs are all ancient, where the run ends: a figure in a new style would be left as it was.
    """
    search = dag.bfs
    # --omit-from removes all that lies downstream, valid or not.
    if hasattr(search, "stops_at_valid") or dag.omitrules or dag.omitfiles:
        return

    def bfs(direction: Any, *jobs: Any, **stop: Any) -> Iterator[Any]:
        behind = {"stop": settled} if direction is dag.depending else stop
        yield from search(direction, *jobs, **behind)

    bfs.stops_at_valid = True  # type: ignore[attr-defined]
    dag.bfs = bfs


def settled(job: Any) -> bool:
    """Whether no run of another job makes this one run."""
    return bool(job.input) and all(file.is_ancient for file in job.input)


def lead_jobs_here() -> None:
    """Put this package and the running Python first in what child processes look through.

    The jobs run ``python -m grokforget``, so that `snakemake` works by its full path too and the package need not be installed.
    """
    first = {"PYTHONPATH": Path(__file__).parents[1], "PATH": Path(sys.executable).parent}
    for name, folder in first.items():
        places = [place for place in os.environ.get(name, "").split(os.pathsep) if place and place != str(folder)]
        os.environ[name] = os.pathsep.join([str(folder), *places])


def share_devices(workflow: Any) -> None:
    """One job a GPU, unless `--resources gpu=N` says otherwise; which one it is the job chooses. Raises CannotRun."""
    gpus = devices.visible()
    if not gpus and not workflow.output_settings.dryrun:
        raise CannotRun("The study asks for `device: cuda`, and this machine shows no GPU; give `--config device=cpu`.")
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", max(len(gpus), 1))


def check_cache(asked: bool) -> None:
    """Raise CannotRun where `--cache` is given and the folder for it is missing or not ours to write."""
    if not asked:
        return
    place = os.environ.get(CACHE, "")
    if "://" in place:
        return
    folder = Path(place)
    remedy = f"make a folder that you can write, and give it: export {CACHE}=FOLDER; or leave out --cache"
    if not place:
        raise CannotRun(f"--cache is given, but the variable {CACHE} is not set; {remedy}.")
    if not folder.is_dir():
        raise CannotRun(f"{CACHE}={place}: there is no such folder; {remedy}.")
    if not writable(folder):
        owner = f"belongs to user {folder.stat().st_uid}, and " if folder.stat().st_uid != os.getuid() else ""
        raise CannotRun(f"{CACHE}={place}: the folder {owner}cannot be written by you; {remedy}.")


def check_folder(root: Path) -> None:
    """Make the study's folder; raise CannotRun where it cannot be written or has no room."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(
            f"{root} cannot be made: {error}; give a folder that you can write with --directory."
        ) from error
    if not writable(root):
        raise CannotRun(f"{root} cannot be written; give yourself permission, or another folder with --directory.")
    free = shutil.disk_usage(root).free
    if free < LEAST_SPACE:
        raise CannotRun(
            f"{root}: {free / 2**20:.0f} MB are free on its disk, at least {LEAST_SPACE / 2**20:.0f} MB must be; "
            "free some space. What was finished is kept."
        )


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

    Snakemake's own locks stay behind when it is killed. Whoever holds this one knows that those of this study are left
    over, and removes them.
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
        # A file system that knows no locks: Snakemake's own are all there is.
        file.close()
        return
    file.truncate(0)
    file.write(f"snakemake (process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%Y-%m-%d %H:%M:%S})")
    file.flush()
    _held.append(file)
    for left in Path(".snakemake/locks").glob("*.lock"):
        names = left.read_text(encoding="utf-8").splitlines()
        if names and all(name.startswith(f"{root}/") for name in names):
            left.unlink()


def seen_by_snakemake(root: Path, item: Stale) -> bool:
    """Whether Snakemake finds by itself that the job must run again: it has noted of its last run other params than now."""
    from snakemake.persistence.file import FilePersistence

    notes = FilePersistence(nolock=True, path=Path(".snakemake").absolute())
    noted = notes._read_record(str(root / paths.record_of(item.job.key)))
    return bool(noted and noted.params) and repr(canonical(item.job.task)) not in noted.params
