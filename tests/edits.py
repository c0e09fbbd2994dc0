"""Edits of a checkout, and of the smoke study in it, for the tests of what they invalidate."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from snakemake_runs import REPOSITORY

Edit = Callable[[Path], None]
PACKAGE = Path("workflow") / "src" / "grokforget"
RULES = Path("workflow") / "rules"
STUDY = Path("workflow") / "studies" / "smoke.yaml"
LOCK = Path("requirements.lock")


def touch_everything(checkout: Path) -> None:
    """New time stamps, in no order that means anything."""
    for path in checkout.rglob("*"):
        os.utime(path)


def reformatted(checkout: Path) -> None:
    """All code of the package as Python itself would write it: without comments, in one style."""
    for path in (checkout / PACKAGE).rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text(encoding="utf-8"))), encoding="utf-8")


def replaced(name: Path, old: str, new: str) -> Edit:
    """An edit that has rotted fails when it is named, so at a module's level on import: not first in a long test."""
    assert old in (REPOSITORY / name).read_text(encoding="utf-8"), f"{name} has no {old!r}"

    def edit(checkout: Path) -> None:
        path = checkout / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def restored(name: Path) -> Edit:
    """The file as it is in the repository."""

    def edit(checkout: Path) -> None:
        shutil.copyfile(REPOSITORY / name, checkout / name)

    return edit


def appended(name: Path, text: str) -> Edit:
    def edit(checkout: Path) -> None:
        path = checkout / name
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    return edit


def code(name: str) -> Edit:
    """Another syntax tree of a module of the package, which does the same."""
    return appended(PACKAGE / name, "\nEDITED = True\n")


def study(old: str, new: str) -> Edit:
    return replaced(STUDY, old, new)


def locked(library: str) -> Edit:
    return replaced(LOCK, f"\n{library}==", f"\n{library}==99.")


def several(*edits: Edit) -> Edit:
    def edit(checkout: Path) -> None:
        for one in edits:
            one(checkout)

    return edit


def registered(registry: str, table: str, base: str, implementation: str) -> Edit:
    """A further row in a registry of ``config/``: a class of settings, and its name in the table."""
    row = (
        f'class Further({base}):\n    """One more."""\n\n    implementation: ClassVar[str] = "{implementation}"\n'
        '    kind: Literal["further"] = "further"\n'
    )
    if base == "DataSet":
        row += '    inputs: ClassVar[str] = "images"\n'
    return replaced(PACKAGE / "config" / registry, f"\n{table} = registry(", f"\n{row}\n\n{table} = registry(Further, ")
