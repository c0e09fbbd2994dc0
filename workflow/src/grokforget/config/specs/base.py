"""What a job is told: its typed spec, and beside it the files that it reads and writes.

The spec is the smallest slice of the study that decides what the job computes. Rule and job share its class; it travels
as a spec file (``runtime/spec_file.py``), which is an input of the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

TORCH = ("torch", "numpy")
TABLES = ("numpy", "pandas", "scipy")
PLOTS = ("matplotlib", "seaborn", "pandas")


class Spec(BaseModel):
    """Part of a spec: plain values under names, unknown ones refused, unchanged after they were read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class JobSpec(Spec):
    """The spec of a kind of job."""

    function: ClassVar[str]
    """``package.module:name`` of the function that does it; it is given a ``runtime.job.Job``."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """The libraries whose locked versions decide its numbers, whatever else it is told."""

    def decided_by(self) -> tuple[str, ...]:
        """All libraries whose locked versions decide its numbers."""
        return self.libraries


@dataclass(frozen=True)
class Item:
    """One piece of a job: its spec, and the files that it reads and writes, by what they are, below the study's folder."""

    spec: JobSpec
    inputs: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


class ForgetSetMeaning(Spec):
    """What a forget set's name stands for."""

    kind: str
    fraction: float | None = None
    group: str | None = None
    """Of examples, by how their loss went; ``pairs`` and ``matched``: how many, and in what they are like those of the other
    groups."""
    pairs: int | None = None
    matched: str | None = None


class ControlMeaning(Spec):
    """A control stands in tables and claims as a checkpoint ``name`` of the setting ``of``."""

    of: str
    name: str


class Meanings(Spec):
    """What the names of a study stand for, as statistics, figures and paper tables must know it."""

    forget_sets: dict[str, ForgetSetMeaning] = {}
    controls: dict[str, ControlMeaning] = {}
    """By the name of the control's setting."""
    analyses: dict[str, str] = {}
    """Name of an analysis → its kind."""
    references: list[str] = []
    """Names of the methods that unlearn nothing."""
    original: str = "original"
    """The one of them that does nothing."""


def read_from_others(items: Mapping[str, Item]) -> list[str]:
    """The files that items of a job read and none of them writes, each once."""
    written = {file for item in items.values() for file in item.outputs.values()}
    named = [files for item in items.values() for files in item.inputs.values()]
    files = [file for one in named for file in ([one] if isinstance(one, str) else one)]
    return [file for file in dict.fromkeys(files) if file not in written]
