"""On what a job ran, for its record: the commit, the libraries, the hardware, and how much memory it took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grokforget.runtime.fingerprint import LOCK, locked_versions

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


def commit() -> str:
    """The commit of the checkout, ``+changes`` behind it where files differ from it; ``unknown`` outside a git checkout, also
    where an unpacked copy lies in the checkout of something else."""
    root = LOCK.parent
    try:
        top, head = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if not root.samefile(top):
            return "unknown"
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
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_initialized() else None


def _git(root: Path, *arguments: str) -> str:
    # Within a hook or an alias of git these name another repository.
    others = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    surroundings = {name: value for name, value in os.environ.items() if name not in others}
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings)
    return done.stdout.strip()


def peak_memory() -> float:
    """Largest resident size of this process, or of one that it started, so far, MB (Linux counts in kB, macOS in bytes)."""
    import resource

    peak = max(resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
