"""What a stage is given: named input files, named output files, and its slice of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """One run of a stage. ``spec`` holds plain JSON types; what a stage reads is in ``inputs``, and it writes all
    ``outputs``. ``scratch`` is a folder for what an interrupted run leaves for the next one of the same job; it goes
    when the job is done."""

    inputs: Mapping[str, list[Path]]
    outputs: Mapping[str, Path]
    spec: Mapping[str, Any]
    scratch: Path | None = None

    def input(self, name: str) -> Path:
        """The one file of that name; ValueError where there are none or several."""
        (path,) = self.inputs[name]
        return path

    def optional(self, name: str) -> Path | None:
        """The file of that name, if there is one."""
        return next(iter(self.inputs.get(name, [])), None)
