"""What each job did, written by the job itself beside its results: ``jobs/<key>.json``.

A record says of which task the files are the results, who made them, when and with what, and their checksums. So a
folder of results tells by itself whether it is valid, wherever it was copied to and whatever became of Snakemake's own
notes in ``.snakemake``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grokforget.fingerprint import digests
from grokforget.paths import root_of
from grokforget.recipes import Task, modules, recipe, units
from grokforget.storage import write_json
from grokforget.versions import LOCK, locked_versions

NOTED = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "pyarrow",
    "safetensors",
    "matplotlib",
    "seaborn",
    "snakemake",
)
"""The libraries whose installed versions a record notes."""


def write_record(
    path: Path,
    task: Task,
    *,
    read: Iterable[Path],
    wrote: Iterable[Path],
    costs: Mapping[str, float],
    units_done: Mapping[str, str],
) -> dict[str, Any]:
    """Note a finished job, and return what was noted. ``wrote`` may hold folders; all files below them are noted, by
    their paths below the study's folder, so that another study can take them over from a cache."""
    root = root_of(path)
    record = {
        "recipe": recipe(task),
        "task": task,
        "modules": task_modules(task),
        "units": dict(units_done),
        "read": {relative(file, root): sha256(file) for file in read},
        "wrote": {
            relative(file, root): {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files_of(wrote)
        },
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "costs": dict(costs),
        "commit": commit(),
        "environment": environment(),
    }
    write_json(path, record)
    return record


def read_record(path: Path) -> dict[str, Any] | None:
    """A job's record; None where there is none that can be read."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"recipe", "task", "wrote"} <= record.keys() else None


def task_modules(task: Task) -> dict[str, str]:
    """Digest of every module behind a task, and behind all units of a batch."""
    names = [name for unit in units(task).values() for name in modules(unit["stage"], unit["spec"])]
    return digests(*names)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files among the paths, and those below the folders among them."""
    found = []
    for path in paths:
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [file for file in inside if file.is_file() and not file.name.startswith(".")]
    return sorted(set(found))


def relative(path: Path, root: Path) -> str:
    """The path below the study's folder, or as it is where it lies elsewhere."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def sha256(path: Path) -> str:
    """As `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def commit() -> str:
    """The commit of the checkout, ``+changes`` behind it where files differ from it; ``unknown`` outside a git
    checkout."""
    root = LOCK.parent
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def environment() -> dict[str, Any]:
    """Python, libraries, processor, cores, memory and GPU of this process."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "python": platform.python_version(),
        "libraries": _installed(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "gpu": _gpu(),
    }


@cache
def _installed() -> dict[str, str]:
    found = {}
    for name in NOTED:
        if name in locked_versions():
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = "not installed"
    return found


def _gpu() -> str | None:
    """The GPU that this process has used, if any; torch is not imported for it."""
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_initialized() else None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
