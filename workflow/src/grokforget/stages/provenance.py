"""Who made the tables of a study, when, with what."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from grokforget.stages.job import Job
from grokforget.storage import write_json
from grokforget.versions import LOCK


def provenance(job: Job) -> None:
    """Write commit, config, versions, hardware, and the SHA-256 of every table, each with the time it was written.

    Reads ``tables``. Spec: ``study`` (all of it). The tables themselves hold none of this, so that the same study gives
    the same bytes.
    """
    write_json(
        job.outputs["provenance"],
        {
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "study": job.spec["study"],
            "python": platform.python_version(),
            "libraries": {
                d.metadata["Name"]: d.version for d in sorted(distributions(), key=lambda d: d.metadata["Name"].lower())
            },
            "hardware": hardware(),
            "tables": {str(path): describe(path) for path in job.inputs["tables"]},
        },
    )


def commit() -> str:
    """The commit of the checkout, ``+changes`` behind it where files differ from it; ``unknown`` outside a git
    checkout."""
    root = LOCK.parent
    try:
        head = git(root, "rev-parse", "HEAD")
        return head + ("+changes" if git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def hardware() -> dict[str, Any]:
    """Processor, cores and memory."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": platform.machine(),
        "system": platform.platform(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
    }


def describe(path: Path) -> dict[str, str]:
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "written": written}
