"""Run a job: compute its keys, take what the store has, compute what is missing, put all in place, and note what was done.

A job of a second costs more to start than to run, on a cluster far more. So a job does several items (all methods on
one forget set, say), each with a key of its own: what was added, changed or not finished is computed, the rest is kept.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any

from grokforget.runtime import gpu, paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.errors import ItemsFailed, explain, meets_all
from grokforget.runtime.files import checksum
from grokforget.runtime.job import Job
from grokforget.runtime.spec_file import read_spec, typed
from grokforget.runtime.store import Store, item_key, place

log = logging.getLogger("grokforget")
Piece = tuple[Mapping[str, Any], dict[str, list[Path]]]
"""An item of a spec file, and its inputs by what they are."""
FORCED = ".forced.json"
"""Below the study's folder while a run lasts that was told to force something: names of rules, and files."""
ALWAYS = ("grokforget.jobs.provenance:provenance",)
"""Functions that read more than their inputs: their results are never taken from the store."""
AT_ONCE = ("grokforget.jobs.stack:train_stack",)
"""Functions that are given all items whose names differ behind the last slash alone at once, as a list of jobs."""


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
    at_once = {name for name, item in spec["items"].items() if item["function"] in AT_ONCE}
    for _, group in groupby(spec["items"], lambda name: name.rpartition("/")[0] if name in at_once else name):
        names = list(group)
        keys: dict[str, str] = {}
        pieces: dict[str, Piece] = {}
        for name in names:
            item = spec["items"][name]
            inputs = {what: [root / file for file in files] for what, files in item["inputs"].items()}
            if failed and not all(path.exists() for files in inputs.values() for path in files):
                failed[name] = "what it reads was not made by an item before it"
                continue
            keys[name] = item_key(spec["format"], item, inputs)
            pieces.setdefault(keys[name], (item, inputs))
        always = forced or spec["items"][names[0]]["function"] in ALWAYS
        with ExitStack() as locks:
            # In one order, or two jobs that share several would wait for each other.
            for key in sorted(pieces):
                locks.enter_context(store.locked(key))
            kept = {key: found for key in pieces if not always and (found := store.find(key))}
            missing = {key: piece for key, piece in pieces.items() if key not in kept}
            try:
                kept |= compute(missing, root, store, job, costs, replace=always) if missing else {}
            except Exception as error:
                if not names[0] or meets_all(error):
                    raise
                lost = [name for name, key in keys.items() if key in missing]
                log.exception("%s failed; the other items go on", ", ".join(lost))
                failed |= dict.fromkeys(lost, explain(error))
        for name, key in keys.items():
            if name in failed:
                continue
            item, status = spec["items"][name], "computed" if missing.pop(key, None) else "kept"
            items[name] = {"key": key, "status": status}
            log.info("%s%s", f"{name}: " if name else "", status)
            for what, file in item["outputs"].items():
                place(store.entry(key) / kept[key][what]["file"], root / file)
                wrote[file] = {"sha256": kept[key][what]["sha256"], "bytes": kept[key][what]["bytes"]}
            read |= {file: checksum(root / file) for files in item["inputs"].values() for file in files}
    if failed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise ItemsFailed(f"{len(failed)} of {len(spec['items'])} items of {job}, what was done is kept: {reasons}")
    # Late, for it asks which versions are installed.
    from grokforget.runtime.machine import peak_memory
    from grokforget.runtime.record import write_record

    costs = {**{name: round(value, 3) for name, value in costs.items()}, "peak_mb": round(peak_memory())}
    write_record(record, spec, items=items, read=read, wrote=wrote, costs=costs)
    for file, digest in read.items():
        log.info("read %s (%s)", root / file, digest[:12])
    for file, what in wrote.items():
        log.info("wrote %s (%d bytes, %s)", root / file, what["bytes"], what["sha256"][:12])
    took = costs["imports_s"], costs["work_s"], time.perf_counter() - began, costs["peak_mb"]
    log.info("%s: imports %.2f s, work %.2f s, in all %.2f s, peak memory %.0f MB", job, *took)


def compute(
    pieces: Mapping[str, Piece], root: Path, store: Store, job: str, costs: dict[str, float], replace: bool
) -> dict[str, dict[str, Any]]:
    """Run the function of some items, by their keys, and take what it wrote into the store, for what is there where it is to
    ``replace`` that; ``costs`` grows by what that took. Of several it is one that is given all of them."""
    first = next(iter(pieces.values()))[0]
    if first["spec"].get("device") == "cuda":
        gpu.claim(first["spec"].get("processes", 1))
    began = time.perf_counter()
    # Imports make objects by the hundred thousand and drop none: looking for garbage among them takes a tenth of a short job.
    gc.disable()
    function = load_implementation(first["function"])
    gc.freeze()
    gc.enable()
    loaded = time.perf_counter()
    with ExitStack() as folders:
        jobs = {}
        for key, (item, inputs) in pieces.items():
            folder = folders.enter_context(store.begin(key, job))
            outputs = {what: folder / f"{what}{Path(file).suffix}" for what, file in item["outputs"].items()}
            jobs[key] = Job(inputs, outputs, typed(item), store.scratch(key), root)
        function(list(jobs.values()) if first["function"] in AT_ONCE else next(iter(jobs.values())))
        kept = {key: store.add(key, job, one.outputs, replace) for key, one in jobs.items()}
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
