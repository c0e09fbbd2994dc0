"""What a job is given: named input files, named output files, and its spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Spec = TypeVar("Spec")


@dataclass(frozen=True)
class Job(Generic[Spec]):
    """One run of a job's function, or of one item of a batch.

    ``spec`` is of the class that rule and job share (``config/specs/``); what the job reads is in ``inputs``, and it writes
    all ``outputs``. ``scratch`` is a folder for what an interrupted run leaves for the next one of the same job; it goes
    when the job is done. ``root`` is the study's folder, for the few jobs that look at all of it.
    """

    inputs: Mapping[str, list[Path]]
    outputs: Mapping[str, Path]
    spec: Spec
    scratch: Path | None = None
    root: Path | None = None

    def input(self, name: str) -> Path:
        """The one file of that name; ValueError where there are none or several."""
        (path,) = self.inputs[name]
        return path

    def optional(self, name: str) -> Path | None:
        """The file of that name, if there is one."""
        return next(iter(self.inputs.get(name, [])), None)
