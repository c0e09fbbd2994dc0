"""What each job did, written by the job itself beside its results: ``jobs/<job>.json``.

A record says by which spec and from which inputs the files were made, by whom, when and with what, and their checksums.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from os import stat
from os.path import isfile, join
from pathlib import Path
from typing import Any

from grokforget.runtime.files import checksum, sha256, write_json
from grokforget.runtime.machine import commit, environment


def write_record(
    path: Path,
    spec: Mapping[str, Any],
    *,
    items: Mapping[str, Mapping[str, str]],
    read: Mapping[str, str],
    wrote: Mapping[str, Mapping[str, Any]],
    costs: Mapping[str, float],
) -> dict[str, Any]:
    """Note a finished job, and return what was noted.

    ``spec`` is the content of its spec file; ``items`` says by name under which ``key`` and with which ``status``
    (computed, kept); ``read`` has the checksum of every input, ``wrote`` SHA-256 and bytes of every output, both by their
    paths below the study's folder.
    """
    record = {
        "spec": spec,
        "items": items,
        "read": read,
        "wrote": wrote,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "costs": dict(costs),
        "commit": commit(),
        "environment": environment(),
    }
    write_json(path, record)
    return record


def read_record(path: Path) -> dict[str, Any] | None:
    """A job's record; None where there is none that can be read."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"spec", "items", "read", "wrote"} <= record.keys() else None


FINAL = ("tables/", "figures/", "paper/", "provenance", "tuning/choice", "tuning/candidates")
"""What hardly any other job reads, so that nothing else would find it damaged. There is little of it."""


def holds(root: Path, record: Mapping[str, Any] | None, spec: Mapping[str, Any], outputs: Iterable[str]) -> bool:
    """Whether what a record says of its job holds of what there is: it is of this ``spec``, all ``outputs`` are there,
    final ones undamaged, and what was read is what lies there now, which it need not be where results were copied over
    others."""
    if record is None or any(record["spec"][part] != spec[part] for part in ("format", "items")):
        return False
    return not lost(root, record, outputs) and not others(root, record)


def lost(root: Path, record: Mapping[str, Any], outputs: Iterable[str]) -> list[str]:
    """The outputs that are missing, and the final ones that are damaged."""
    wrote, folder = record["wrote"], f"{root}/"
    # Strings, for there may be tens of thousands of them at every start of Snakemake.
    return [
        file
        for file in outputs
        if not isfile(folder + file)
        or file not in wrote
        or (file.startswith(FINAL) and sha256(root / file) != wrote[file]["sha256"])
    ]


def others(root: Path, record: Mapping[str, Any]) -> list[str]:
    """The inputs that are there and are not those that were read."""
    return [file for file, before in record["read"].items() if is_another(join(root, file), before)]


def is_another(file: str, before: str) -> bool:
    """Whether a file that is there has another checksum than it had."""
    try:
        status = stat(file)
    except FileNotFoundError:
        return False
    return _checksum(file, status.st_mtime_ns, status.st_size) != before


@cache
def _checksum(file: str, changed_at: int, size: int) -> str:
    return checksum(Path(file))
