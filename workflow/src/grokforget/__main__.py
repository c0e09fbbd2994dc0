"""Run one stage: ``python -m grokforget STAGE --task JSON --input NAME PATH... --output NAME PATH --record FILE --log FILE``."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import shutil
import sys
import time
from pathlib import Path

from grokforget import devices, interruption, paths
from grokforget.components import load_implementation
from grokforget.failures import explain
from grokforget.fingerprint import fingerprint
from grokforget.recipes import Task, modules, recipe, units
from grokforget.seal import files_checked
from grokforget.stages import STAGES
from grokforget.stages.job import Job

log = logging.getLogger("grokforget")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run the stage, and note what it read, wrote and cost; errors go to the log with their
    trace and, in words, to stderr."""
    parser = argparse.ArgumentParser(prog="python -m grokforget", description="Run one stage of the workflow.")
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument(
        "--task", type=json.loads, required=True, help="what the results depend on, as recipes.py makes it"
    )
    parser.add_argument("--input", nargs="+", action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--output", nargs=2, action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--record", type=Path, required=True, help="note here what was done")
    parser.add_argument("--log", type=Path, help="also log here")
    options = parser.parse_args(arguments)
    kept = paths.kept_of(options.record)
    job = Job(
        inputs={name: [Path(path) for path in given] for name, *given in options.input},
        outputs={name: Path(path) for name, path in options.output},
        spec=options.task["spec"],
        scratch=kept / recipe(options.task),
    )
    configure_logging(options.log)
    interruption.listen()
    # At once: where a job is killed early, Snakemake shows the scheduler's log only if this one is not empty.
    log.info("%s: %s", options.stage, options.record)
    try:
        run(options.task, job, kept, options.record)
    except interruption.Interrupted as stopped:
        interruption.ignore()
        log.warning("%s: %s", options.stage, stopped)
        print(f"{options.stage} was {stopped}; the same command goes on from what it has done.", file=sys.stderr)
        return 128 + stopped.signal
    except Exception as error:
        log.exception("%s failed", options.stage)
        print(f"{options.stage} failed: {explain(error)}", file=sys.stderr)
        return 1
    return 0


def run(task: Task, job: Job, kept: Path, record: Path) -> None:
    """Run a task, or all units of a batch, and write its record. ``kept`` holds what earlier runs have left for this one."""
    check_code(task)
    if task["spec"].get("device") == "cuda":
        devices.claim()
    began = time.perf_counter()
    # Imports make objects by the hundred thousand and drop none: looking for garbage among them takes a tenth of a short job.
    gc.disable()
    stage = load_implementation(STAGES[task["stage"]])
    gc.freeze()
    gc.enable()
    loaded = time.perf_counter()
    done: dict[str, str] = {}
    if "units" in task:
        from grokforget.units import run_batch

        done = run_batch(stage, task, job, kept)
        folders = [Path(str(path).partition(paths.UNIT)[0]) for path in job.outputs.values()]
    else:
        stage(job)
        folders = list(job.outputs.values())
    worked = time.perf_counter()
    costs = {
        "imports_s": round(loaded - began, 3),
        "work_s": round(worked - loaded, 3),
        "peak_mb": round(peak_memory()),
    }
    # Late, for it asks which versions are installed.
    from grokforget.records import write_record

    read = [path for path in files_checked() if not path.is_relative_to(kept)]
    noted = write_record(record, task, read=read, wrote=folders, costs=costs, units_done=done)
    if "units" not in task:
        shutil.rmtree(kept, ignore_errors=True)
    root = paths.root_of(record)
    for file, digest in noted["read"].items():
        log.info("read %s (%s)", root / file, digest[:12])
    for file, what in noted["wrote"].items():
        log.info("wrote %s (%d bytes, %s)", root / file, what["bytes"], what["sha256"][:12])
    log.info(
        "%s: imports %.2f s, work %.2f s, notes %.2f s, peak memory %.0f MB",
        task["stage"],
        costs["imports_s"],
        costs["work_s"],
        time.perf_counter() - worked,
        costs["peak_mb"],
    )


def check_code(task: Task) -> None:
    """Raise RuntimeError where the code is no longer that of the task: results would pass for what they are not."""
    for unit in units(task).values():
        if fingerprint(*modules(unit["stage"], unit["spec"])) != unit["code"]:
            raise RuntimeError(
                f"the code behind {task['stage']} was changed after this job had been planned; give the same command again"
            )


def peak_memory() -> float:
    """Largest resident size of this process so far, MB (Linux counts in kB, macOS in bytes)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def configure_logging(path: Path | None) -> None:
    """Plain lines with the time, to ``path`` or else to stderr."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w") if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
