"""Bad surroundings are named before anything is started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.settings import ExecMode

from grokforget import interruption, preflight
from grokforget.preflight import CACHE, CannotRun, check_cache, check_folder, lead_jobs_here, prepare_run, writable
from small import SOURCE, small


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, with what this process holds let go at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CACHE, raising=False)
    held: list[Any] = []
    monkeypatch.setattr(preflight, "_held", held)
    yield
    for file in held:
        file.close()


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that cannot be written, not by root either."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount and not subprocess.run([mount, "-t", "tmpfs", "-o", "ro", "none", folder], capture_output=True).returncode:
        yield folder
        subprocess.run(["umount", folder], check=True)
    else:
        touch = Path.touch

        def refuse(path: Path, *arguments: Any, **more: Any) -> None:
            if folder in path.parents:
                raise PermissionError
            touch(path, *arguments, **more)

        monkeypatch.setattr(Path, "touch", refuse)
        yield folder


# The cache.
def test_a_cache_folder_that_can_be_written_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    check_cache(True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(CACHE, "s3://somewhere/else")
    check_cache(True)


@pytest.mark.parametrize(
    ("place", "what"),
    [(None, f"--cache is given, but the variable {CACHE} is not set"), ("", "is not set"), ("no", "there is no such folder"),
     ("file", "there is no such folder"), ("read-only", "the folder cannot be written by you")],
)  # fmt: skip
def test_a_cache_that_cannot_be_used_is_named_with_the_remedy(
    place: str | None, what: str, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    if place is not None:
        monkeypatch.setenv(CACHE, str(tmp_path / place) if place else "")
    check_cache(False)
    with pytest.raises(CannotRun) as found:
        check_cache(True)
    assert what in str(found.value)
    assert f"export {CACHE}=FOLDER; or leave out --cache" in str(found.value)
    assert not place or str(tmp_path / place) in str(found.value)


def test_a_cache_of_somebody_else_is_named_as_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(preflight, "writable", lambda folder: False)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(CannotRun, match=f"the folder belongs to user {tmp_path.stat().st_uid}, and cannot be written"):
        check_cache(True)


# The folder.
def test_the_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    for _ in range(2):
        check_folder(tmp_path / "results" / "small")
    assert list((tmp_path / "results" / "small").iterdir()) == []


@pytest.mark.parametrize(
    ("where", "what"),
    [("read-only/results/small", "cannot be made"), ("read-only", "cannot be written"), ("file/small", "cannot be made"),
     ("file", "cannot be made")],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_is_named(where: str, what: str, read_only: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotRun, match=f"{re.escape(str(tmp_path / where))} {what}.*--directory"):
        check_folder(tmp_path / where)


@pytest.mark.parametrize(("free", "runs"), [(0, False), (64 * 2**20 - 1, False), (64 * 2**20, True)])
def test_a_disk_without_room_is_named_with_what_it_needs(
    free: int, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(2**40, 0, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    if runs:
        check_folder(tmp_path)
    else:
        with pytest.raises(CannotRun, match=rf"{free / 2**20:.0f} MB are free on its disk, at least 64 MB must be"):
            check_folder(tmp_path)


def test_whether_a_folder_is_writable_is_tried_and_leaves_nothing(tmp_path: Path, read_only: Path) -> None:
    assert writable(tmp_path)
    assert list(tmp_path.iterdir()) == [read_only]
    assert not writable(read_only)
    assert not writable(tmp_path / "missing")


# All of it.
def snakemake(**changes: Any) -> Any:
    """What preflight looks at of Snakemake's own object."""
    values = {"exec_mode": ExecMode.DEFAULT, "cache": None, "dryrun": False, "nodes": None, **changes}
    return SimpleNamespace(
        exec_mode=values["exec_mode"],
        workflow_settings=SimpleNamespace(cache=values["cache"]),
        output_settings=SimpleNamespace(dryrun=values["dryrun"]),
        resource_settings=SimpleNamespace(nodes=values["nodes"]),
    )


@pytest.mark.parametrize(
    ("changes", "argument", "locks", "plans"),
    [
        ({}, "all", True, True),
        ({"dryrun": True}, "--dry-run", False, True),
        ({}, "--lint", False, False),
        ({}, "--unlock", False, False),
        ({"exec_mode": ExecMode.REMOTE}, "all", False, False),
        ({"exec_mode": ExecMode.SUBPROCESS}, "all", False, False),
    ],
)
def test_only_a_run_takes_the_lock_and_only_who_plans_compares_results(
    changes: Any, argument: str, locks: bool, plans: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", argument])
    outlook = prepare_run(snakemake(**changes), small())
    assert Path("results/small/.lock").exists() == locks
    assert Path("results").exists() == locks
    assert (outlook.unseen, outlook.valid) == ([], frozenset() if plans else None)


@pytest.mark.parametrize(
    ("changes", "leads"),
    [({}, True), ({"nodes": 4}, False), ({"nodes": 4, "exec_mode": ExecMode.REMOTE}, True)],
    ids=["local", "a cluster", "on the cluster's machine"],
)
def test_jobs_end_with_the_snakemake_whose_children_they_are(
    changes: Any, leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(interruption.LEADER, "before:1")
    monkeypatch.setattr(sys, "argv", ["snakemake", "--lint"])
    prepare_run(snakemake(**changes), small())
    assert (os.environ.get(interruption.LEADER, "").endswith(f":{os.getpid()}")) == leads


def test_the_cache_is_looked_at_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    with pytest.raises(CannotRun, match="--cache is given"):
        prepare_run(snakemake(cache=["train"]), small())
    assert not Path("results").exists()


def test_jobs_find_this_package_and_this_python_first(monkeypatch: pytest.MonkeyPatch) -> None:
    python = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"/usr/bin:{python}::/bin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    for _ in range(2):
        lead_jobs_here()
        assert os.environ["PATH"] == f"{python}:/usr/bin:/bin"
        assert os.environ["PYTHONPATH"] == f"{SOURCE}:/somewhere"
