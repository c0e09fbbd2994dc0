"""Which results are out of date, and why, in words.

Snakemake compares what it noted of a job when it ran the job. This compares the plan with the records that lie among the
results themselves, so it sees what Snakemake cannot: results that were copied without ``.snakemake``, or over others.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokforget import paths
from grokforget.plan import PlannedJob
from grokforget.recipes import Task, recipe, units
from grokforget.records import read_record, sha256, task_modules

FINAL = ("tables/", "figures/", "paper/", "provenance", "tuning/choice")
"""What no other job may read, so that nothing else would find it damaged. There is little of it."""

UPSTREAM = "what it reads is out of date or new: "


@dataclass(frozen=True)
class Stale:
    """A job whose results are there, but are not those of its task. ``record`` is what it was made by, if that is known."""

    job: PlannedJob
    record: Mapping[str, Any] | None


@dataclass(frozen=True)
class Standing:
    """How the jobs of a plan stand: those whose results are out of date, and the keys of those whose results are all
    there and valid. Jobs of which something is missing are neither."""

    stale: list[Stale]
    valid: frozenset[str]


def standing(root: Path, jobs: Iterable[PlannedJob]) -> Standing:
    """Compare the records below ``root`` with the plan."""
    outdated, valid = [], set()
    for job in jobs:
        record = read_record(root / paths.record_of(job.key))
        if record is not None and record["recipe"] == recipe(job.task):
            there = [os.path.exists(root / name) for name in record["wrote"]]
            if not all(there):
                # Of a folder Snakemake sees only whether it is there; files that it knows by name it makes where they are needed.
                if "units" in job.task and any(there):
                    outdated.append(Stale(job, {**record, "missing": True}))
                continue
            if job.key.startswith(FINAL) and any(
                sha256(root / name) != file["sha256"] for name, file in record["wrote"].items()
            ):
                outdated.append(Stale(job, {**record, "damaged": True}))
            else:
                valid.add(job.key)
        elif any(True for key in job.products for _ in made(root, key)):
            outdated.append(Stale(job, record))
    return Standing(outdated, frozenset(valid))


def made(root: Path, key: str) -> Iterator[Path]:
    """The results below ``root`` that begin with the key: a folder, or files with endings."""
    folder = (root / key).parent
    name = key.rpartition("/")[2]
    if folder.is_dir():
        yield from (path for path in folder.glob(f"{name}*") if path.name == name or path.name.startswith(f"{name}."))


def reasons(found: Stale) -> list[str]:
    """Why a job's results are out of date, in plain words, one reason a line; what lies upstream comes last."""
    if found.record is None:
        return ["no record says what made them"]
    if "missing" in found.record:
        return ["a file that the job wrote is missing"]
    if "damaged" in found.record:
        return ["damaged: the files are not what the job wrote"]
    old, new = found.record["task"], found.job.task
    before, now = units(old), units(new)
    lines: dict[str, None] = {}
    for name in sorted(now.keys() - before.keys()):
        lines[f"new: {name}"] = None
    for name in sorted(before.keys() - now.keys()):
        lines[f"no longer asked for: {name}"] = None
    changed = [name for name in before if name in now and recipe(before[name]) != recipe(now[name])]
    for name in changed:
        lines |= dict.fromkeys(_differences(before[name], now[name]))
    if any(before[name]["code"] != now[name]["code"] for name in changed):
        was = found.record.get("modules", {})
        modules = {module: digest for name in changed for module, digest in task_modules(now[name]).items()}
        lines |= {f"code of {module}": None for module in sorted(modules) if modules[module] != was.get(module)}
    if any(before[name]["upstream"] != now[name]["upstream"] for name in changed):
        above = sorted({key for name in changed for key in _changed(before[name]["upstream"], now[name]["upstream"])})
        lines[f"{UPSTREAM}{', '.join(above)}"] = None
    return list(lines) or ["the record was made by another version of this workflow"]


def summary(found: Iterable[Stale]) -> list[str]:
    """A line a (stage, reasons): how many jobs, and why."""
    groups: dict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
    for item in found:
        groups[item.job.task["stage"], tuple(reasons(item))] += 1
    return [f"{stage} ({count}): {'; '.join(why)}" for (stage, why), count in groups.items()]


def _differences(old: Task, new: Task) -> Iterator[str]:
    for key in _changed(old["versions"], new["versions"]):
        yield f"locked version of {key}: {old['versions'].get(key, 'none')} → {new['versions'].get(key, 'none')}"
    was, now = _flat(old["spec"]), _flat(new["spec"])
    for key in _changed(was, now):
        yield f"config {key}: {was.get(key, 'not given')} → {now.get(key, 'not given')}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: item
            for name, part in value.items()
            for key, item in _flat(part, f"{prefix}.{name}".lstrip(".")).items()
        }
    return {prefix: value}
