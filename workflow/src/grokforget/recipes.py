"""What a job's results depend on, as data, and in short as its recipe.

A task is all that decides the bytes a job writes: the stage, its slice of the config (spec), the code behind it, the
locked versions of the libraries that decide its numbers, and the recipes of what it reads (upstream). Its recipe is the
hash of that, so it covers everything upstream too: nothing else, no time stamp and no path, says whether a result is
still valid. A task may be a batch of units that share part of it, each with a recipe of its own; what a batch has of a
unit is kept as long as that unit's recipe stays the same (``units.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from grokforget.fingerprint import fingerprint
from grokforget.stages import STAGES
from grokforget.versions import versions_of

Task = dict[str, Any]

LIBRARIES: dict[str, tuple[str, ...]] = {
    "prepare": ("numpy", "scikit-learn"),
    "split": ("numpy",),
    "forget": ("numpy",),
    **dict.fromkeys(("train", "difficulty", "unlearn", "sweep", "tune", "analyse", "shadow"), ("torch", "numpy")),
    **dict.fromkeys(
        ("select", "choose", "tuned", "summarise", "table1", "claims", "published", "paper-table"),
        ("numpy", "pandas", "scipy"),
    ),
    **dict.fromkeys(("measure", "attack"), ("numpy", "pandas", "scipy", "scikit-learn")),
    # Its intervals are Student's.
    "figure-designs": ("matplotlib", "seaborn", "pandas", "scipy"),
    "provenance": (),
}
"""The libraries that decide a stage's numbers; collecting stages are like ``select``, figures see below."""
TABLES = LIBRARIES["select"]
FIGURES = ("matplotlib", "seaborn", "pandas")


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def recipe(value: Any) -> str:
    """Twenty hexadecimal digits for plain JSON types, a task among them."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]


def task(
    stage: str,
    spec: Mapping[str, Any],
    upstream: Mapping[str, Any] | None = None,
    units: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
) -> Task:
    """The task of a stage; ``units`` gives of each unit by name what its spec and upstream have beyond the shared ones."""
    parts: Task = {"stage": stage, "spec": dict(spec), "upstream": dict(upstream or {}), "versions": versions(stage)}
    if units is None:
        return {**parts, "code": fingerprint(*modules(stage, spec))}
    return {
        **parts,
        "units": {
            name: {"spec": more, "upstream": above, "code": fingerprint(*modules(stage, {**spec, **more}))}
            for name, (more, above) in units.items()
        },
    }


def unit(batch: Task, name: str) -> Task:
    """One unit of a batch as a task by itself."""
    own = batch["units"][name]
    shared = {key: batch[key] for key in ("stage", "versions")}
    both = {key: {**batch[key], **own[key]} for key in ("spec", "upstream")}
    return {**shared, **both, "code": own["code"]}


def units(batch: Task) -> dict[str, Task]:
    """All units of a batch; a task that is no batch is its own, unnamed unit."""
    return {name: unit(batch, name) for name in batch["units"]} if "units" in batch else {"": batch}


def modules(stage: str, spec: Mapping[str, Any]) -> list[str]:
    """The modules that a stage runs: its own, and those of the components that its spec names."""
    return [STAGES[stage], *sorted(set(_implementations(spec)))]


def versions(stage: str) -> dict[str, str]:
    """The locked versions of the libraries that decide a stage's numbers."""
    default = FIGURES if stage.startswith("figure") else TABLES
    return versions_of(*LIBRARIES.get(stage, default))


def _implementations(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("implementation"), str):
            yield value["implementation"]
        for part in value.values():
            yield from _implementations(part)
