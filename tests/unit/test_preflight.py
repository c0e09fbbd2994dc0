"""Bad surroundings are named before anything is started, and a study is worked on by one Snakemake at a time."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
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
from grokforget.preflight import (
    CACHE,
    CannotRun,
    check_cache,
    check_folder,
    hold,
    lead_jobs_here,
    prepare_run,
    writable,
)
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


# The lock.
HOLDER = """
import sys
from pathlib import Path
from grokforget.preflight import hold
hold(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which works on the study."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout.readline() == "holds\n"
    yield process
    process.kill()
    process.communicate()


def test_who_works_on_a_study_is_named_and_lets_go_when_it_is_killed(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    named = rf"{tmp_path} is being worked on by snakemake \(process {holder.pid} on \S+, since 20\S+ \S+\); wait until"
    for _ in range(2):
        with pytest.raises(CannotRun, match=named):
            hold(tmp_path)
    hold_another = tmp_path / "another"
    hold_another.mkdir()
    hold(hold_another)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    hold(tmp_path)
    text = (tmp_path / ".lock").read_text()
    assert f"process {os.getpid()} on" in text
    assert text.count("process") == 1, "who held it before is forgotten"


def test_it_is_held_for_as_long_as_the_process_lives(tmp_path: Path) -> None:
    hold(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.DEVNULL,
    )
    assert f"is being worked on by snakemake (process {os.getpid()} on" in done.stderr


LOCKS = {
    "0.input.lock": "results/small/data/addition/examples.safetensors\nresults/small/jobs/a.json\n",
    "0.output.lock": "results/small/tables/summary.parquet\n",
    "1.input.lock": "results/smaller/data/addition/examples.safetensors\n",
    "1.output.lock": "results/small/a.json\nresults/other/a.json\n",
    "2.output.lock": "elsewhere/results/small/a.json\n",
    "2.input.lock": "",
}


def test_locks_left_over_of_this_study_are_removed_and_those_of_others_kept() -> None:
    root, locks = Path("results/small"), Path(".snakemake/locks")
    for folder in (root, locks):
        folder.mkdir(parents=True)
    for name, text in LOCKS.items():
        (locks / name).write_text(text)
    hold(root)
    assert {path.name for path in locks.iterdir()} == LOCKS.keys() - {"0.input.lock", "0.output.lock"}


def test_locks_are_left_while_another_holds_the_study(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    locks = Path(".snakemake/locks")
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"{tmp_path}/a.json\n")
    with pytest.raises(CannotRun):
        hold(tmp_path)
    assert (locks / "0.output.lock").exists()


def test_a_file_system_that_knows_no_locks_is_not_taken_for_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network file systems; whether Snakemake's own locks are left over is not known then."""
    root, locks = Path("results/small"), Path(".snakemake/locks")
    for folder in (root, locks):
        folder.mkdir(parents=True)
    (locks / "0.output.lock").write_text(LOCKS["0.output.lock"])

    def refuse(file: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(preflight.fcntl, "flock", refuse)
    hold(root)
    assert (locks / "0.output.lock").exists()


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
