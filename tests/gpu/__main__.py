"""Check everything that needs a GPU in under 8 minutes, and write one report: ``make gpu-check``.

Nothing is downloaded, and the package need not be installed (PYTHONPATH=workflow/src:tests). Without a GPU that is said,
and the exit status is 0; it is 1 where a check failed or ran out of its time.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from gpu.parts import REHEARSE, REPOSITORY

COMMAND = "make gpu-check"
CHECKS = {
    "Tests": (["-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "tests/gpu"], 180),
    "Throughput": (["-m", "gpu.throughput"], 150),
    "A study": (["-m", "gpu.study"], 140),
}
"""By heading what Python is given, and the seconds that it may take: together less than 8 minutes."""


def machine() -> list[str]:
    """Card, driver and versions, a line each."""
    card = "none"
    if torch.cuda.is_available():
        card = f"{torch.cuda.get_device_name()}, {torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB"
    lines = {
        "card": card,
        "driver": said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") or "unknown",
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "checkout": said("git", "-C", str(REPOSITORY), "rev-parse", "HEAD") or "no git repository",
        "command": COMMAND,
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return [f"- {what}: {value}" for what, value in lines.items()]


def said(*command: str) -> str:
    """The first line of a program's output; empty where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""


def checked(arguments: list[str], seconds: float, rehearse: bool) -> tuple[bool, float, str]:
    """Whether a check passed, in how many seconds, and the end of what it said."""
    if "pytest" in arguments and importlib.util.find_spec("pytest") is None:
        return True, 0.0, "Skipped: pytest is not installed."
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("workflow/src", "tests")),
    }
    environment |= {REHEARSE: "1"} if rehearse else {}
    own = ["--rehearse"] if rehearse and "pytest" not in arguments else []
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *arguments, *own],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        passed, output = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as error:
        kept = error.stdout or b""
        passed, output = False, f"{kept.decode(errors='replace')}\nNot finished after {seconds:.0f} s."
    return passed, time.monotonic() - began, output.strip()[-6000:]


def main() -> int:
    """Run the checks, write the report, and say where it is."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("gpu-check.md"), help="the file to write")
    parser.add_argument("--rehearse", action="store_true", help="run the checks in small on the CPU: do they run?")
    asked = parser.parse_args()
    if not torch.cuda.is_available() and not asked.rehearse:
        print("No GPU: torch.cuda.is_available() is False. Nothing was checked, and no report written.")
        return 0
    parts, failed = ["# GPU check\n", *machine(), ""], []
    if asked.rehearse:
        parts.insert(1, "A rehearsal on the CPU: its numbers mean nothing.\n")
    for heading, (arguments, seconds) in CHECKS.items():
        print(f"{heading} ...", flush=True)
        passed, took, output = checked(arguments, seconds, asked.rehearse)
        failed += [] if passed else [heading]
        shown = output if passed and "pytest" not in arguments else f"```\n{output}\n```"
        parts.append(f"## {heading}: {'passed' if passed else 'FAILED'}, {took:.0f} s\n\n{shown}\n")
        asked.report.write_text("\n".join(parts), encoding="utf-8")
    print(f"{asked.report}: {'failed: ' + ', '.join(failed) if failed else 'all passed'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
