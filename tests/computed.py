"""Which items of a study's jobs are computed: those that a run would compute, and those that the last one did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edits import STUDY
from grokforget.runtime import paths
from grokforget.runtime.files import DamagedFile
from grokforget.runtime.results import pending, records_of
from grokforget.runtime.spec_file import load_spec
from grokforget.runtime.store import Store, item_key
from snakemake_runs import Workspace

ALWAYS = "provenance"
"""It puts all records together, and is made whenever anything is."""


def computed(workspace: Workspace, name: str = "smoke") -> Counter[str]:
    """By rule, how many items a run would compute if what is computed comes out as it was: those whose keys the store does
    not have. What other bytes would bring with them is not in it."""
    summary = workspace.snakemake("--summary", study=workspace.repository / STUDY).stdout
    root = workspace.folder / "results" / name
    found: Counter[str] = Counter()
    for _, job in pending(summary):
        spec = load_spec(root / paths.spec_of(job))
        for item in spec["items"].values():
            found[spec["rule"]] += not kept(root, spec["format"], item)
    return Counter({rule: count for rule, count in found.items() if count and rule != ALWAYS})


def kept(root: Path, version: int, item: dict[str, object]) -> bool:
    """Whether the store has an item, with its inputs as they are; not where one of them is yet to be made."""
    inputs = {what: [root / file for file in files] for what, files in item["inputs"].items()}  # type: ignore[attr-defined]
    try:
        return Store(root).find(item_key(version, item, inputs)) is not None
    except DamagedFile:
        return False


def computed_in(workspace: Workspace, name: str = "smoke", since: int | None = None) -> dict[str, set[str]]:
    """Job → the items that its last run computed, of the jobs that ran since the workspace was copied (or since a time)."""
    root = workspace.folder / "results" / name
    done = {}
    for job, record in records_of(root):
        file = root / paths.record_of(job)
        if file.stat().st_mtime_ns <= (since or workspace.born) or job == ALWAYS:
            continue
        items = {item for item, what in record["items"].items() if what["status"] == "computed"}
        if items:
            done[job] = items
    return done
