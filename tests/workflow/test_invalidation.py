"""After an edit exactly those jobs rerun whose results could be others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemake_runs import Workspace

PACKAGE = Path("workflow") / "src" / "grokforget"
STUDY = Path("workflow") / "studies" / "smoke.yaml"
# The jobs behind the measures of every cell, in the smoke study: 2 requests (one forget set, two seeds), 7 methods.
AFTER_MEASURING = {"measure": 2, "collect": 1, "summarise": 1, "table1": 1, "provenance": 1}
AFTER_UNLEARNING = {**AFTER_MEASURING, "collect": 3, "figure": 1}


def touch_everything(checkout: Path) -> None:
    for path in checkout.rglob("*"):
        os.utime(path)


def replaced(name: Path, old: str, new: str) -> Callable[[Path], None]:
    def edit(checkout: Path) -> None:
        path = checkout / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def appended(name: Path, text: str) -> Callable[[Path], None]:
    def edit(checkout: Path) -> None:
        path = checkout / name
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    return edit


CASES: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    "touch every file": (touch_everything, {}),
    "a comment in the training loop": (appended(PACKAGE / "training" / "loop.py", "\n# A comment.\n"), {}),
    "a docstring of SCRUB": (replaced(PACKAGE / "unlearning" / "scrub.py", '"""SCRUB and', '"""The SCRUB and'), {}),
    "SCRUB": (
        appended(PACKAGE / "unlearning" / "scrub.py", "\nEDITED = True\n"),
        {**AFTER_UNLEARNING, "unlearn": 2},
    ),
    "the learning rate of one method": (
        replaced(STUDY, "learning_rate: 1e-2}", "learning_rate: 2e-2}"),
        {**AFTER_UNLEARNING, "unlearn": 2, "sweep": 2, "collect": 4, "figure": 2},
    ),
    "a measure": (appended(PACKAGE / "measures" / "ues.py", "\nEDITED = True\n"), {**AFTER_MEASURING, "figure": 1}),
    "one figure": (appended(PACKAGE / "stages" / "figure2.py", "\nEDITED = True\n"), {"figure": 1}),
    "the style of the figures": (appended(PACKAGE / "results" / "style.py", "\nEDITED = True\n"), {"figure": 3}),
    "the locked seaborn": (replaced(Path("requirements.lock"), "seaborn==0", "seaborn==99.0"), {"figure": 3}),
    "the training loop": (
        appended(PACKAGE / "training" / "loop.py", "\nEDITED = True\n"),
        {
            "train": 8,
            "select": 4,
            "unlearn": 10,
            "references": 2,
            "sweep": 2,
            **AFTER_UNLEARNING,
            "collect": 6,
            "figure": 3,
        },
    ),
    "a further method": (
        replaced(STUDY, "  fine-tune:", "  tuned: {kind: fine-tune, epochs: 1}\n  fine-tune:"),
        {**AFTER_UNLEARNING, "unlearn": 2, "figure": 3},
    ),
}


@pytest.mark.xdist_group("smoke")
@pytest.mark.parametrize("name", CASES)
def test_an_edit_reruns_exactly(name: str, copy: Workspace) -> None:
    edit, expected = CASES[name]
    edit(copy.repository)
    assert copy.planned(study=copy.repository / STUDY) == expected


@pytest.mark.xdist_group("smoke")
def test_a_fresh_copy_of_checkout_and_results_has_nothing_to_do(copy: Workspace, tmp_path: Path) -> None:
    moved = Workspace(tmp_path / "elsewhere", tmp_path / "moved")
    # As `git clone` and `cp -r` do it: new time stamps, in no order that means anything.
    shutil.copytree(copy.repository, moved.repository, copy_function=shutil.copyfile)
    shutil.copytree(copy.folder, moved.folder)
    assert moved.planned(study=moved.repository / STUDY) == {}
