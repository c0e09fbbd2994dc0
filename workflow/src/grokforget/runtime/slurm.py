"""Whether Slurm answers. Without its controller Snakemake finds that out job by job, or waits for ever for jobs that have
long ended."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable

SECONDS = 120.0
"""Between two looks while jobs run."""
REMEDY = (
    "Look with `scontrol ping` and `sinfo`; when it is back give the same command again, or run on this machine with "
    "`--workflow-profile default --cores N`."
)


def is_there() -> bool:
    """Whether this is a machine of a Slurm cluster."""
    return shutil.which("sinfo") is not None


def complaint() -> str:
    """What is wrong with the controller; nothing where it answers."""
    try:
        asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "Slurm does not answer: no word within a minute."
    except FileNotFoundError:
        return "Slurm does not answer: there is no `sinfo` any more."
    if asked.returncode == 0:
        return ""
    return f"Slurm does not answer: {(asked.stderr.strip().splitlines() or ['no reason given'])[-1]}."


def watch(tell: Callable[[str], None] | None = None, every: float = SECONDS) -> None:
    """Tell, from a thread of its own, when the controller goes away and when it is back."""

    def warn(text: str) -> None:
        from snakemake.logging import logger

        logger.warning(text)

    threading.Thread(target=_look, args=(tell or warn, every), daemon=True).start()


def _look(tell: Callable[[str], None], every: float) -> None:
    away = False
    while True:
        time.sleep(every)
        wrong = complaint()
        if wrong and not away:
            tell(f"{wrong} Jobs that run go on, and what they finish is kept.")
        elif away and not wrong:
            tell(
                "Slurm answers again. If no job comes back within some minutes, Snakemake has lost track of them: press Ctrl-C, "
                "`scancel` what still runs, and give the same command again; it goes on from what is done."
            )
        away = bool(wrong)
