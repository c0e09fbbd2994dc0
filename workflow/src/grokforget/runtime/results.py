"""Questions about a study's results, answered from their records and spec files: why a job would run, what is damaged,
what no job makes any more."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from grokforget.runtime import paths
from grokforget.runtime.files import sha256
from grokforget.runtime.record import lost, others, read_record
from grokforget.runtime.spec_file import load_spec
from grokforget.runtime.store import Store

RECORD = re.compile(rf"(\S*?results/[^/\s]+)/{paths.JOBS}/(\S+)\.json")
SAME = "what it reads is made again"


def records_of(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job that has a record, by its path below ``jobs/``, and the record."""
    for file in sorted((root / paths.JOBS).rglob("*.json")):
        record = read_record(file)
        if record:
            yield file.relative_to(root / paths.JOBS).with_suffix("").as_posix(), record


def keys_of(root: Path) -> dict[str, set[str]]:
    """Job → the keys that its results were made under."""
    return {job: {item["key"] for item in record["items"].values()} for job, record in records_of(root)}


def pending(summary: str) -> list[tuple[Path, str]]:
    """Study's folder and path of every job that Snakemake may run, by the text of ``snakemake --summary``."""
    rows = (line.split("\t") for line in summary.splitlines())
    found = ((RECORD.fullmatch(row[0]), row[-1]) for row in rows)
    return [(Path(record[1]), record[2]) for record, plan in found if record and plan == "update pending"]


def why(summary: str) -> Iterator[str]:
    """A line a (rule, reasons): how many jobs Snakemake may run, by the text of ``snakemake --summary``, and why.

    Whether a job whose inputs alone are made again computes anything is known only when they are there.
    """
    groups: dict[tuple[str, tuple[str, ...]], int] = defaultdict(int)
    for root, job in pending(summary):
        spec = load_spec(root / paths.spec_of(job))
        groups[spec["rule"] or job, tuple(reasons(root, job, spec))] += 1
    # What is made again because of others comes last.
    for (rule, told), count in sorted(groups.items(), key=lambda group: group[0][1] == (SAME,)):
        yield f"{rule} ({count}): {'; '.join(told)}"
    if not groups:
        yield "Everything is up to date."


def reasons(root: Path, job: str, spec: Mapping[str, Any]) -> list[str]:
    """Which of the four that decide a job's results changed since they were made: spec, code, versions, or what it reads."""
    record = read_record(root / paths.record_of(job))
    if record is None:
        return ["not made yet, or no longer whole"]
    before, now = record["spec"]["items"], spec["items"]
    lines = [f"new: {name}" for name in sorted(now.keys() - before.keys())]
    lines += [f"no longer asked for: {name}" for name in sorted(before.keys() - now.keys())]
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        for key in changed(old["versions"], new["versions"]):
            versions = (item["versions"].get(key, "none") for item in (old, new))
            lines.append(f"locked version of {key}: {' → '.join(versions)}")
        was, told = flat(old["spec"]), flat(new["spec"])
        for key in changed(was, told):
            lines.append(f"config {key}: {was.get(key, 'not given')} → {told.get(key, 'not given')}")
    for module in changed(record["spec"]["modules"], spec["modules"]):
        # What only one of them has came or went with an item, or with an import of a module that is named.
        if module in record["spec"]["modules"] and module in spec["modules"]:
            lines.append(f"code of {module}")
    if record["spec"]["format"] != spec["format"]:
        lines.append("the format of files")
    lines += [f"{file} is another" for file in others(root, record)]
    if before == now:
        lines += [f"{file} is missing or damaged" for file in lost(root, record, record["wrote"])]
    return list(dict.fromkeys(lines)) or [SAME]


def verify(root: Path) -> Iterator[str]:
    """Every file that is not what its job's record says. The record is removed then, so that the next run makes it anew."""
    for job, record in records_of(root):
        damaged = False
        for name, wrote in record["wrote"].items():
            file = root / name
            if not file.exists():
                yield f"{file} is missing; the next run makes it if it is needed."
            elif sha256(file) != wrote["sha256"]:
                damaged = True
                yield f"{file} is not what was written: its checksum is another. The next run makes it anew."
        if damaged:
            (root / paths.record_of(job)).unlink()


def clean(summary: str, remove: bool) -> Iterator[str]:
    """What lies in the study's folder and no job of the study makes, by the text of ``snakemake --summary``; whether it
    was removed. The store is swept too."""
    outputs = [line.split("\t")[0] for line in summary.splitlines() if line.startswith("results/")]
    found = {match[1] for output in outputs if (match := RECORD.fullmatch(output))}
    if len(found) != 1:
        yield f"found the records of {len(found)} studies in Snakemake's summary; allowed: of one"
        return
    root, size = Path(found.pop()), 0
    foreign = list(foreign_to(root, outputs))
    for path in foreign:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        size += sum(file.stat().st_size for file in files)
        yield f"{path}/ ({len(files)} file{'s' * (len(files) != 1)})" if path.is_dir() else str(path)
        if remove:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if remove:
        # Of jobs that are gone too: without a record they would count as unfinished.
        planned = {match[2] for output in outputs if (match := RECORD.fullmatch(output))}
        keys = keys_of(root)
        gone: dict[str, set[str]] = {job: set() for job in Store(root).jobs() - planned}
        size += Store(root).sweep({**keys, **gone})
    if not foreign:
        yield f"{root}: every file belongs to a job of this study."
    else:
        done = "removed" if remove else "belongs to no job of this study; give REMOVE=yes to remove it"
        yield f"{size / 1e6:.1f} MB, {done}"


def foreign_to(root: Path, outputs: Iterable[str]) -> Iterator[Path]:
    """The topmost files and folders below the study's own that are no outputs, and belong to none."""
    ours = {Path(output).relative_to(root).as_posix() for output in outputs}
    for output in list(ours):
        if output.startswith(f"{paths.JOBS}/"):
            job = output.removeprefix(f"{paths.JOBS}/").removesuffix(".json")
            ours |= {paths.log_of(job), paths.spec_of(job)}
            spec = load_spec(root / paths.spec_of(job))
            ours |= {file for item in spec["items"].values() for file in item["outputs"].values()}
    ours |= {"store", ".lock", ".forced.json", "study.json", "report.html", "logs/progress.log"}
    above = {parent.as_posix() for name in ours for parent in Path(name).parents}

    def look(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            name = path.relative_to(root).as_posix()
            if path.is_dir() and name in above:
                yield from look(path)
            elif name not in ours and path.name != ".snakemake_timestamp":
                yield path

    yield from look(root) if root.is_dir() else ()


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ, sorted."""
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    if isinstance(value, Mapping) and value:
        return {
            key: item
            for name, part in value.items()
            for key, item in flat(part, f"{prefix}.{name}".lstrip(".")).items()
        }
    return {prefix: value}
