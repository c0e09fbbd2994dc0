"""Batches: many small pieces of work in one job, none of which is done twice.

A job of a second costs more to start than to run, on a cluster far more. So a rule's job does several units (all
methods on one forget set, say), and keeps each unit's files under that unit's recipe. When the job runs again, because
a unit was added or changed or because the job was killed, the units whose recipes are the same are taken as they are,
provided that their checksums are right. Snakemake deletes a job's outputs before it runs the job again; what is kept lies
where Snakemake does not look, and the outputs are hard links to it.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from grokforget.paths import UNIT
from grokforget.recipes import Task, recipe, units
from grokforget.seal import DamagedFile, check
from grokforget.stages.job import Job

log = logging.getLogger("grokforget")


def run_batch(stage: Callable[[Job], None], task: Task, given: Job, kept: Path) -> dict[str, str]:
    """Run every unit of a batch that is not kept from before, then put the outputs of all in place.

    ``given`` holds paths with ``@`` for the unit's name. Returns what was done, ``kept`` or ``computed``, by unit. Only
    units of this batch are kept for the next run.
    """
    done, folders = {}, {}
    for name, unit in units(task).items():
        folder = folders[name] = kept / recipe(unit)
        files = {output: folder / f"{output}{path.suffix}" for output, path in given.outputs.items()}
        done[name] = "kept" if all(map(_intact, files.values())) else "computed"
        if done[name] == "computed":
            inputs = {what: [_named(path, name) for path in paths] for what, paths in given.inputs.items()}
            began = time.monotonic()
            stage(Job(inputs, files, unit["spec"], given.scratch))
            log.info("%s: computed in %.2f s", name, time.monotonic() - began)
        else:
            log.info("%s: kept", name)
    for name, folder in folders.items():
        for output, path in given.outputs.items():
            place(folder / f"{output}{path.suffix}", _named(path, name))
    for old in set(kept.iterdir()) - set(folders.values()):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return done


def place(source: Path, target: Path) -> None:
    """The same file in another place, without a second copy on disk where that can be had; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        # Some file systems know no hard links.
        shutil.copyfile(source, beside)
    os.replace(beside, target)
    # Replacing a link to a file by another link to the same file does nothing, and leaves the one beside.
    beside.unlink(missing_ok=True)


def _intact(path: Path) -> bool:
    try:
        check(path)
    except DamagedFile as damage:
        if path.exists():
            log.warning("%s; it is made anew", damage)
        return False
    return True


def _named(path: Path, unit: str) -> Path:
    return Path(str(path).replace(UNIT, unit))
