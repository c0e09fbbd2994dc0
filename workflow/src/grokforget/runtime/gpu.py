"""Which GPU a job takes: one that no other job of this machine has, since Snakemake counts GPUs but does not hand them out."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

log = logging.getLogger("grokforget")
VISIBLE = "CUDA_VISIBLE_DEVICES"
FOLDER = Path(tempfile.gettempdir()) / f"grokforget-gpus-{os.getuid()}"
_held: list[IO[str]] = []


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


def claim(patience: float = 3600.0) -> str:
    """Take a GPU that no other job has until this process ends, however it ends, and let this process see it alone.

    Before torch is imported; once it has one, a process keeps it. Waits for one for ``patience`` seconds, since other
    studies may have them; raises NoDevice.
    """
    if _held:
        return os.environ[VISIBLE]
    names = visible()
    if not names:
        raise NoDevice(
            "the study asks for `device: cuda`, and this job sees no GPU; give `device: cpu`, or a profile with GPUs"
        )
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    until = time.monotonic() + patience
    while True:
        for name in names:
            file = open(FOLDER / name.replace("/", "-"), "a", encoding="utf-8")  # noqa: SIM115 - held until the process ends
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            _held.append(file)
            os.environ[VISIBLE] = name
            log.info("on GPU %s of %s", name, ", ".join(names))
            return name
        if time.monotonic() > until:
            raise NoDevice(
                f"all GPUs ({', '.join(names)}) have been taken by other jobs for {patience / 60:.0f} minutes"
            )
        time.sleep(1)
