"""How long Snakemake thinks about a study before it starts, from 100 to 10,000 cells: ``python -m benchmarks.growth``.

The results of so many cells are not computed: files with nothing in them lie where the results would, and records beside
them say that they are what the study's jobs make, as a finished study's do.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from grokforget.runtime import paths
from grokforget.runtime.files import checksum
from grokforget.runtime.record import write_record
from grokforget.runtime.results import pending
from grokforget.runtime.spec_file import load_spec
from snakemake_runs import REPOSITORY, Workspace

SETTINGS = ("digits-mlp", "digits-cnn", "modular-transformer")


def study(seeds: int, forget_sets: int, methods: int) -> dict[str, Any]:
    """The laptop study with more cells, each with all analyses, but no controls and no tuning: 3 settings, 3 checkpoints."""
    value: dict[str, Any] = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    value |= {"study": "growth", "seeds": list(range(seeds))}
    value["forget_sets"] = {f"random-{n}": {"kind": "random", "fraction": 0.01 * (n + 1)} for n in range(forget_sets)}
    kept = {name: value["methods"][name] for name in ("original", "retrain", "gradient-ascent")}
    more = {f"ascent-{n}": {"kind": "gradient-ascent", "learning_rate": 0.001 * (n + 1)} for n in range(methods - 3)}
    value["methods"] = {**kept, **more}
    for key in ("tuning", "along_training"):
        value.pop(key)
    if seeds < 2:
        value.pop("likelihood_ratio_attack")
    for analysis in value["analyses"].values():
        analysis.pop("forget_sets", None)
    value["settings"] = {name: value["settings"][name] for name in SETTINGS}
    for setting in value["settings"].values():
        for key in ("methods", "checkpoints", "forget_sets"):
            setting.pop(key, None)
    return value


def pretend(workspace: Workspace, summary: str) -> int:
    """Write the files and records of a finished study, by Snakemake's summary of it; the number of its jobs."""
    empty = hashlib.sha256().hexdigest()
    jobs = [(workspace.folder / root, job) for root, job in pending(summary)]
    specs = {job: load_spec(root / paths.spec_of(job)) for root, job in jobs}
    costs = {"imports_s": 0.0, "work_s": 0.0, "peak_mb": 0.0}
    for root, job in jobs:
        items = specs[job]["items"]
        wrote = {file: {"sha256": empty, "bytes": 0} for item in items.values() for file in item["outputs"].values()}
        for name in wrote:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        read = {name: empty for item in items.values() for files in item["inputs"].values() for name in files}
        read |= {name: checksum(Path(name)) for name in read if Path(name).is_absolute()}
        keys = {name: {"key": empty, "status": "computed"} for name in items}
        write_record(root / paths.record_of(job), specs[job], items=keys, read=read, wrote=wrote, costs=costs)
    return len(jobs)


def measured(workspace: Workspace, config: Path, expected: str, *arguments: str) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and peak MB of a Snakemake that must say what is expected."""
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(done.stdout + done.stderr, used.ru_utime + used.ru_stime, used.ru_maxrss)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *workspace.command(*arguments, study=config)],
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
    )
    wall = time.monotonic() - began
    assert expected in done.stdout, done.stdout[-3000:]
    processor, memory = done.stdout.split()[-2:]
    return float(processor), wall, int(memory) / 1024


def grown(folder: Path, seeds: int, forget_sets: int, methods: int) -> dict[str, float]:
    """Cells, jobs, and the cost of a dry run from nothing and of a run with nothing to do; the better of two.

    Snakemake plans on one core: its processor seconds are what it takes on a machine that does nothing else.
    """
    workspace = Workspace(folder)
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study(seeds, forget_sets, methods)))
    dry = min(measured(workspace, config, "This was a dry-run", "--dry-run") for _ in range(2))
    jobs = pretend(workspace, workspace.snakemake("--summary", study=config).stdout)
    # So that Snakemake's own notes are there too, as after a real run. It rests a while after each file that it touches.
    command = workspace.command("--touch", "--forceall", "--quiet", "all", study=config)
    code = "import sys, time; time.sleep = lambda seconds: None; from snakemake.cli import main; main(sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", code, *command[3:]],
        cwd=folder,
        env=workspace.environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    idle = min(measured(workspace, config, "Nothing to be done") for _ in range(2))
    return {
        "cells": 9 * seeds * forget_sets * methods,
        "jobs": jobs,
        "dry run processor s": dry[0],
        "dry run s": dry[1],
        "no-op processor s": idle[0],
        "no-op s": idle[1],
        "MB": max(dry[2], idle[2]),
    }


def main() -> None:
    """Print a table in Markdown."""
    shapes = [(1, 1, 11), (2, 4, 14), (10, 4, 14), (20, 4, 14), (80, 2, 7)]
    print("| seeds | forget sets | methods | cells | jobs | dry run (s) | nothing to do (s) | memory (MB) |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for shape in shapes:
        with tempfile.TemporaryDirectory() as folder:
            row = grown(Path(folder), *shape)
        shown = {name: value for name, value in row.items() if name not in ("dry run s", "no-op s")}
        cells = [*shape, *(f"{value:.1f}" if name.endswith(" s") else f"{value:,.0f}" for name, value in shown.items())]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
