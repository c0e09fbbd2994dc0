"""The locked versions of libraries, so that a stage can depend on those that decide its numbers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

LOCK = Path(__file__).parents[3] / "requirements.lock"


@cache
def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """Every pinned library of the lock file by its name in lower case."""
    pins = (
        re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line.strip())
        for line in lock.read_text(encoding="utf-8").splitlines()
    )
    return {pin[1].lower(): pin[2] for pin in pins if pin}


def versions_of(*libraries: str) -> dict[str, str]:
    """The pins of some libraries; KeyError for one that is not locked."""
    return {library: locked_versions()[library] for library in libraries}
