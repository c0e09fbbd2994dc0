"""Run a job: compute its keys, take what the store has, compute what is missing, put all in place, and note what was done.

A job of a second costs more to start than to run, on a cluster far more. So a job does several items (all methods on
one forget set, say), each with a key of its own: what was added, changed or not finished is computed, the rest is kept.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokforget.runtime import gpu, paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.errors import explain, meets_all
from grokforget.runtime.files import checksum
from grokforget.runtime.job import Job
from grokforget.runtime.spec_file import read_spec, typed
from grokforget.runtime.store import Store, item_key, place

log = logging.getLogger("grokforget")
FORCED = ".forced.json"
"""Below the study's folder while a run lasts that was told to force something: names of rules, and files."""
ALWAYS = ("grokforget.jobs.provenance:provenance",)
"""Functions that read more than their inputs: their results are never taken from the store."""


class ItemsFailed(Exception):
    """Items of a batch that failed, each with its reason; the others were done and are kept."""


def run_job(spec_file: Path, record: Path) -> None:
    """Do the job of a spec file, whose record goes to ``record``; both lie in the study's folder, as all that it reads.

    Raises whatever the job's function raises, of a batch ItemsFailed once all other items are done, but for what would meet
    them too (``errors.meets_all``), and being asked to stop. What was finished is kept.
    """
    began = time.perf_counter()
    spec = read_spec(spec_file)
    # Of the record: where files are fetched from a storage, the spec file alone is local.
    root = paths.root_of(record)
    job = spec_file.parent.relative_to(paths.root_of(spec_file, paths.SPECS) / paths.SPECS).as_posix()
    store = Store(root)
    forced = is_forced(root, spec)
    items: dict[str, dict[str, str]] = {}
    read: dict[str, str] = {}
    wrote: dict[str, dict[str, Any]] = {}
    costs = {"imports_s": 0.0, "work_s": 0.0}
    failed: dict[str, str] = {}
    for name, item in spec["items"].items():
        inputs = {what: [root / file for file in files] for what, files in item["inputs"].items()}
        if failed and not all(path.exists() for files in inputs.values() for path in files):
            failed[name] = "what it reads was not made by an item before it"
            continue
        key = item_key(spec["format"], item, inputs)
        always = forced or item["function"] in ALWAYS
        with store.locked(key):
            kept = None if always else store.find(key)
            items[name] = {"key": key, "status": "kept" if kept else "computed"}
            if kept is None:
                try:
                    kept = compute(item, root, inputs, store, key, job, costs, replace=always)
                except Exception as error:
                    if not name or meets_all(error):
                        raise
                    log.exception("%s failed; the other items go on", name)
                    failed[name] = explain(error)
                    continue
        log.info("%s%s", f"{name}: " if name else "", items[name]["status"])
        for what, file in item["outputs"].items():
            place(store.entry(key) / kept[what]["file"], root / file)
            wrote[file] = {"sha256": kept[what]["sha256"], "bytes": kept[what]["bytes"]}
        read |= {file: checksum(root / file) for files in item["inputs"].values() for file in files}
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise ItemsFailed(f"{len(failed)} of {len(spec['items'])} items of {job}, what was done is kept: {reasons}")
    # Late, for it asks which versions are installed.
    from grokforget.runtime.record import write_record

    costs = {**{name: round(value, 3) for name, value in costs.items()}, "peak_mb": round(peak_memory())}
    write_record(record, spec, items=items, read=read, wrote=wrote, costs=costs)
    for file, digest in read.items():
        log.info("read %s (%s)", root / file, digest[:12])
    for file, what in wrote.items():
        log.info("wrote %s (%d bytes, %s)", root / file, what["bytes"], what["sha256"][:12])
    log.info(
        "%s: imports %.2f s, work %.2f s, in all %.2f s, peak memory %.0f MB",
        job,
        costs["imports_s"],
        costs["work_s"],
        time.perf_counter() - began,
        costs["peak_mb"],
    )


def compute(
    item: Mapping[str, Any],
    root: Path,
    inputs: Mapping[str, list[Path]],
    store: Store,
    key: str,
    job: str,
    costs: dict[str, float],
    replace: bool,
) -> dict[str, Any]:
    """Run an item's function and take what it wrote into the store, for what is there where it is to ``replace`` that;
    ``costs`` grows by what that took."""
    if item["spec"].get("device") == "cuda":
        gpu.claim(item["spec"].get("processes", 1))
    began = time.perf_counter()
    # Imports make objects by the hundred thousand and drop none: looking for garbage among them takes a tenth of a short job.
    gc.disable()
    function = load_implementation(item["function"])
    gc.freeze()
    gc.enable()
    loaded = time.perf_counter()
    with store.begin(key, job) as folder:
        outputs = {what: folder / f"{what}{Path(file).suffix}" for what, file in item["outputs"].items()}
        function(Job(spec=typed(item), inputs=inputs, outputs=outputs, scratch=store.scratch(key), root=root))
        kept = store.add(key, job, outputs, replace)
    costs["imports_s"] += loaded - began
    costs["work_s"] += time.perf_counter() - loaded
    return kept


def is_forced(root: Path, spec: Mapping[str, Any]) -> bool:
    """Whether the running Snakemake was told to force the job."""
    try:
        forced = set(json.loads((root / FORCED).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return False
    products = {root / file for item in spec["items"].values() for file in item["outputs"].values()}
    products |= {root / paths.product_of(file) for item in spec["items"].values() for file in item["outputs"].values()}
    return bool(forced & {spec["rule"], "*", *map(str, products)})


def peak_memory() -> float:
    """Largest resident size of this process, or of one that it started, so far, MB (Linux counts in kB, macOS in bytes)."""
    import resource

    peak = max(resource.getrusage(whose).ru_maxrss for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
