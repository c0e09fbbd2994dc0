"""Run one stage: ``python -m grokforget STAGE --spec JSON --input NAME PATH... --output NAME PATH --log FILE``."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
from pathlib import Path

from grokforget.components import load_implementation
from grokforget.stages import STAGES
from grokforget.stages.job import Job

log = logging.getLogger("grokforget")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run the stage, and log what it read, wrote and cost; errors go to the log with their
    trace and to stderr."""
    parser = argparse.ArgumentParser(prog="python -m grokforget", description="Run one stage of the workflow.")
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("--spec", type=json.loads, default={}, help="the stage's slice of the configuration, JSON")
    parser.add_argument("--input", nargs="+", action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--output", nargs=2, action="append", default=[], metavar=("NAME", "PATH"))
    parser.add_argument("--log", type=Path, help="also log here")
    options = parser.parse_args(arguments)
    job = Job(
        inputs={name: [Path(path) for path in paths] for name, *paths in options.input},
        outputs={name: Path(path) for name, path in options.output},
        spec=options.spec,
    )
    configure_logging(options.log)
    began = time.perf_counter()
    try:
        # Imports make objects by the hundred thousand and drop none: looking for garbage among them takes a tenth of a short job.
        gc.disable()
        stage = load_implementation(STAGES[options.stage])
        gc.freeze()
        gc.enable()
        loaded = time.perf_counter()
        stage(job)
    except Exception as error:
        log.exception("%s failed", options.stage)
        print(f"{options.stage} failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    ended = time.perf_counter()
    for kind, files in (("read", job.inputs), ("wrote", {name: [path] for name, path in job.outputs.items()})):
        for name, paths in files.items():
            for path in paths:
                log.info("%s %s: %s (%d bytes)", kind, name, path, path.stat().st_size)
    log.info(
        "%s: imports %.2f s, work %.2f s, peak memory %.0f MB",
        options.stage,
        loaded - began,
        ended - loaded,
        peak_memory(),
    )
    return 0


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
