"""Which GPU a job takes: one on which no more jobs run than may, since Snakemake counts GPUs but does not hand them out."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

log = logging.getLogger("grokforget")
VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARED = "GROKFORGET_JOBS_PER_GPU"
"""The study's ``jobs_per_gpu``, as its jobs are told of it: it is no part of what they are."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Without it cuBLAS may add up in another order every time."""
FOLDER = Path(tempfile.gettempdir()) / f"grokforget-gpus-{os.getuid()}"
_held: list[ExitStack] = []


class NoDevice(Exception):
    """A study asks for a GPU and there is none."""


def visible() -> list[str]:
    """The GPUs that this process may use, as they are named in CUDA_VISIBLE_DEVICES; a scheduler sets that for its jobs."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def memory() -> int:
    """Bytes of the smallest GPU that this process may use; 0 where that cannot be told."""
    if shutil.which("nvidia-smi") is None:
        return 0
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    rows = [line.split(", ") for line in subprocess.run(query, capture_output=True, text=True).stdout.splitlines()]
    names = visible()
    found = [row[2] for row in rows if len(row) == 3 and (row[0] in names or row[1] in names)]
    return min((int(size) * 2**20 for size in found if size.isdigit()), default=0)


def share(jobs: int) -> None:
    """Let the jobs that this process starts run so many at once on a GPU."""
    os.environ[SHARED] = str(jobs)


def claim(count: int = 1, patience: float = 3600.0) -> str:
    """Take a place on each of ``count`` GPUs until this process ends, however it ends, and let this process see these alone,
    as the name, or names, that are returned.

    A GPU has as many places as ``jobs_per_gpu`` says; jobs that say 1 have it alone, whatever other studies say. Before
    torch is imported; once it has them, a process keeps them. Waits for ``patience`` seconds, since other studies may have
    them, and meanwhile holds none: two jobs that had one each and wanted two would wait for ever. Raises NoDevice.
    """
    if _held:
        return os.environ[VISIBLE]
    names = visible()
    if not names:
        raise NoDevice(
            "the study asks for `device: cuda`, and this job sees no GPU; give `device: cpu`, or a profile with GPUs"
        )
    if len(names) < count:
        raise NoDevice(
            f"`processes: {count}` train on as many GPUs, and this job sees {len(names)} ({', '.join(names)}); "
            f"give at most {len(names)}, or a profile with more"
        )
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    until = time.monotonic() + patience
    places = int(os.environ.get(SHARED) or "1")
    os.environ.setdefault(WORKSPACE, ":4096:8")
    while True:
        if taken := _take_several(names, count, places):
            os.environ[VISIBLE] = ",".join(taken)
            log.info("on GPU %s of %s", " and ".join(taken), ", ".join(names))
            return os.environ[VISIBLE]
        if time.monotonic() > until:
            raise NoDevice(
                f"all GPUs ({', '.join(names)}) have been taken by other jobs for {patience / 60:.0f} minutes"
            )
        time.sleep(1)


def _take_several(names: list[str], count: int, places: int) -> list[str]:
    """The GPUs of which a place each was taken, where there are so many; else none."""
    taken: dict[str, ExitStack] = {}
    with ExitStack() as locks:
        # Every GPU gets its first job before one gets its second.
        for place in range(places):
            for name in names:
                if name not in taken and (lock := _take(FOLDER / name.replace("/", "-"), place, places)):
                    taken[name] = locks.enter_context(lock)
                if len(taken) == count:
                    _held.append(locks.pop_all())
                    return list(taken)
    return []


def _take(file: Path, place: int, places: int) -> ExitStack | None:
    """Locks on a place of a GPU, where it is free: one on the GPU, shared unless it is the only place, and one on the place."""
    wanted = [(file, fcntl.LOCK_SH if places > 1 else fcntl.LOCK_EX)]
    wanted += [(file.with_name(f"{file.name}.{place}"), fcntl.LOCK_EX)] if places > 1 else []
    with ExitStack() as locks:
        for path, kind in wanted:
            opened = locks.enter_context(open(path, "a", encoding="utf-8"))
            try:
                fcntl.flock(opened, kind | fcntl.LOCK_NB)
            except OSError:
                return None
        return locks.pop_all()


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is torch's complaint that a GPU has too little memory; torch is not imported to see that."""
    return type(error).__name__ == "OutOfMemoryError" and type(error).__module__.partition(".")[0] == "torch"


def memory_needed(error: Exception) -> str:
    """How much a job needed at least that a GPU had no memory for, and which settings lower it."""
    torch: Any = sys.modules["torch"]
    free, total = torch.cuda.mem_get_info()
    asked = re.search(r"Tried to allocate ([\d.]+) ([KMG])iB", str(error))
    more = float(asked[1]) * 2.0 ** {"K": 10, "M": 20, "G": 30}[asked[2]] if asked else 0.0
    others = max(0, total - free - torch.cuda.memory_reserved())
    amounts = (torch.cuda.max_memory_allocated() + more, total, others)
    needed, of_all, of_others = (f"{amount / 2**30:.1f} GiB" for amount in amounts)
    return (
        f"too little memory on the GPU: the job needed at least {needed}, the GPU has {of_all}, of which other jobs and CUDA "
        f"itself hold {of_others}; give a smaller `batch_size` (of the recipe where training failed, of the method where "
        "unlearning did), or fewer `jobs_per_gpu`"
    )
