"""Results remember which study file they are of; another one of the same name is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from grokforget.runtime.files import sha256
from grokforget.runtime.owner import NOTE, check_owner
from grokforget.runtime.preflight import CannotRun

ROOT = Path("results/small")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, which has a folder above it."""
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")


def claimed(study: Path, checkout: Path = Path("checkout")) -> None:
    """A run from its start: the check while the Snakefile is read, and the note."""
    check_owner(ROOT, study, checkout)
    ROOT.mkdir(parents=True, exist_ok=True)
    check_owner(ROOT, study, checkout, begins=True)


def study_at(path: str, content: str = "study: small\n") -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content, encoding="utf-8")
    return Path(path)


def test_results_remember_the_study_file_once_a_run_begins() -> None:
    study = study_at("mine.yaml")
    check_owner(ROOT, study, Path("checkout"))
    assert not ROOT.exists(), "a dry run notes nothing"
    claimed(study)
    assert json.loads((ROOT / NOTE).read_text()) == {
        "file": "mine.yaml of the working folder",
        "sha256": hashlib.sha256(b"study: small\n").hexdigest(),
    }


@pytest.mark.parametrize("first", ["mine.yaml", "checkout/workflow/studies/mine.yaml", "../mine.yaml"])
@pytest.mark.parametrize("other", ["copy.yaml", "checkout/workflow/studies/copy.yaml", "checkout/mine.yaml"])
def test_another_file_of_the_same_name_of_study_is_refused_with_what_to_do(first: str, other: str) -> None:
    claimed(study_at(first))
    before = (ROOT / NOTE).read_bytes()
    copied = study_at(other)
    # An exact copy replaces nothing; what it is edited into later is another study all the same.
    claimed(copied)
    study_at(other, "study: small\nseeds: [7]\n")
    for begins in (False, True):
        with pytest.raises(CannotRun) as found:
            check_owner(ROOT, copied, Path("checkout"), begins)
        assert f"{ROOT} holds the results of another study file, {json.loads(before)['file']}; " in str(found.value)
        assert "has the same `study: small`" in str(found.value)
        assert "with `--config study=NAME`" in str(found.value)
        assert f"remove {ROOT}/study.json" in str(found.value)
        assert (ROOT / NOTE).read_bytes() == before
    # Which is one way on.
    (ROOT / NOTE).unlink()
    claimed(copied)
    study_at(first, "study: small\nseeds: [1]\n")
    with pytest.raises(CannotRun, match=re.escape(Path(other).name)):
        check_owner(ROOT, Path(first), Path("checkout"))


@pytest.mark.parametrize("path", ["mine.yaml", "checkout/workflow/studies/mine.yaml", "../mine.yaml"])
def test_the_same_file_edited_is_the_same_study(path: str) -> None:
    claimed(study_at(path))
    study_at(path, "study: small\nseeds: [7]\n")
    for given in (Path(path), Path(path).absolute()):
        claimed(given)
    assert json.loads((ROOT / NOTE).read_text())["sha256"] == sha256(Path(path))


def test_a_fresh_clone_a_moved_folder_and_a_linked_one_are_the_same_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed(study_at("checkout/config.yaml"))
    # Another clone, and the study edited in it.
    claimed(study_at("clone/config.yaml", "study: small\nseeds: [7]\n"), Path("clone"))
    # Results and a study of their own, in another place.
    (ROOT / NOTE).unlink()
    claimed(study_at("mine.yaml"))
    moved = tmp_path / "moved"
    shutil.copytree("results", moved / "results")
    monkeypatch.chdir(moved)
    claimed(study_at("mine.yaml", "study: small\nseeds: [8]\n"))
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(tmp_path / "link")
    claimed(tmp_path / "link" / study_at("mine.yaml", "study: small\nseeds: [9]\n"))


def test_the_study_of_the_checkout_and_one_of_the_working_folder_are_two() -> None:
    """Both are called config.yaml."""
    claimed(study_at("checkout/config.yaml"))
    with pytest.raises(
        CannotRun, match=r"config\.yaml of the checkout; config\.yaml of the working folder has the same"
    ):
        check_owner(ROOT, study_at("config.yaml", "study: small\nseeds: [7]\n"), Path("checkout"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"file": 3}'])
def test_a_note_that_says_nothing_stands_in_nobodys_way(content: str) -> None:
    ROOT.mkdir(parents=True)
    (ROOT / NOTE).write_text(content)
    claimed(study_at("mine.yaml"))
    assert json.loads((ROOT / NOTE).read_text())["file"] == "mine.yaml of the working folder"
