"""What is wrong around a study stops it before anything is done, with a message that names the remedy."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grokforget.config.profiles import problems
from snakemake_runs import REPOSITORY, SMALL, Workspace


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in a folder; skips the test where this user may mount none."""
    folder.mkdir(parents=True)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def refused(workspace: Workspace, *arguments: object, **environment: str) -> str:
    """What Snakemake says when it does not start; it must be short of traces and must have written no result."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        done = workspace.snakemake(*arguments, check=False)
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert done.returncode != 0
    assert "Nothing was started." in done.stdout
    assert "Traceback" not in done.stdout
    # Spec files are written while Snakemake plans: they are no results.
    left = [path for path in (workspace.folder / "results").rglob("*") if path.is_file() and path.name != ".lock"]
    assert not [path for path in left if "specs" not in path.parts]
    return done.stdout


def test_a_results_folder_that_can_only_be_read(tmp_path: Path) -> None:
    with mounted(tmp_path / "results", "ro"):
        told = refused(Workspace(tmp_path))
    assert "results cannot be written" in told
    assert "--directory" in told


def test_no_space_left(tmp_path: Path) -> None:
    with mounted(tmp_path / "results", "size=8m"):
        told = refused(Workspace(tmp_path))
    assert "results/smoke: 8 MB are free on its disk, at least 64 MB must be; free some space" in told


@pytest.mark.parametrize(
    ("store", "expected"), [("missing", "there is no such folder"), ("theirs", "cannot be written by you")]
)
def test_a_shared_store_that_is_not_ours(store: str, expected: str, tmp_path: Path) -> None:
    if store == "theirs":
        with mounted(tmp_path / store, "ro,uid=12345"):
            told = refused(Workspace(tmp_path), GROKFORGET_STORE=str(tmp_path / store))
        assert "belongs to user 12345" in told
    else:
        told = refused(Workspace(tmp_path), GROKFORGET_STORE=str(tmp_path / store))
    assert expected in told
    assert "export GROKFORGET_STORE=FOLDER" in told


def test_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    told = refused(Workspace(tmp_path), "--config", "device=cuda", CUDA_VISIBLE_DEVICES="")
    assert "this machine shows no GPU; give `--config device=cpu`" in told


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in REPOSITORY.glob("profiles/*/config.yaml")))
def test_our_own_profiles_have_no_unknown_keys(profile: str) -> None:
    assert list(problems(REPOSITORY / "profiles" / profile / "config.yaml")) == []


def test_a_profile_with_unknown_keys_is_told_file_line_and_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("retries: 2\nrerun-incomplet: true\nset-resources:\n  trian: {mem_mb: 3}\n  train: {mem_mb: 3}\n")
    first, second = problems(path)
    assert first.startswith(
        f"{path}:2: rerun-incomplet: unknown key: found 'rerun-incomplet'; allowed: an option of snakemake"
    )
    assert first.endswith("did you mean 'rerun-incomplete'?")
    assert second.startswith(f"{path}:4: set-resources.trian: unknown key: found 'trian'; allowed: a rule: all, ")
    assert second.endswith("did you mean 'train'?")
    path.write_text("jobs: [1\n")
    assert "not valid YAML" in next(problems(path))


# Of several users.
def with_mask(workspace: Workspace, mask: int, *arguments: object) -> str:
    """What Snakemake says to a user whose files are of these rights."""
    done = subprocess.run(
        workspace.command(*arguments, study=SMALL),
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        umask=mask,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rights(folder: Path) -> tuple[set[int], set[int]]:
    """Of all files below a folder, and of all folders."""
    paths = [folder, *folder.rglob("*")]
    found = [{path.stat().st_mode & 0o777 for path in paths if path.is_dir() == folders} for folders in (False, True)]
    return found[0], found[1]


@pytest.mark.long(sample=1)
@pytest.mark.parametrize(("mask", "files", "folders"), [(0o002, 0o664, 0o775), (0o022, 0o644, 0o755)])
def test_files_have_the_rights_that_their_user_gives(mask: int, files: int, folders: int, tmp_path: Path) -> None:
    """Some libraries write for their user alone, and results and stores are shared."""
    with_mask(Workspace(tmp_path), mask)
    assert rights(tmp_path / "results" / "small") == ({files}, {folders})


def test_files_of_every_kind_have_the_rights_that_this_user_gives(smoke: Workspace) -> None:
    mask = os.umask(0o022)
    os.umask(mask)
    assert rights(smoke.folder / "results") == ({0o666 & ~mask}, {0o777 & ~mask})


def test_how_far_a_run_came_stands_in_its_log(smoke: Workspace) -> None:
    lines = (smoke.folder / "results" / "smoke" / "logs" / "progress.log").read_text().splitlines()
    assert re.fullmatch(r"\S+ \S+ (\d+) of \1 jobs are done, in .*", lines[-1])
    between = r"\S+ \S+ \d+ of \d+ jobs are done(, about \d+ % of the work; about .* left|; how long they take is .*)"
    assert all(re.fullmatch(between, line) for line in lines[:-1])


def as_nobody(workspace: Workspace, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Snakemake as another user, who can read everything and writes what others may write: stdout and stderr together."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("only root can run something as another user")
    able = [f"--{which}=-all,+dac_read_search" for which in ("inh-caps", "ambient-caps", "bounding-set")]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *able]
    home = workspace.folder.parent / "home"
    home.mkdir(exist_ok=True)
    home.chmod(0o777)
    done = subprocess.run(
        [*user, *workspace.command(*arguments, study=SMALL)],
        cwd=workspace.folder,
        env={**workspace.environment(), "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    done.stdout += done.stderr
    return done


@pytest.mark.long(sample=1)
def test_in_a_folder_of_somebody_else_questions_are_answered_and_a_run_is_told_whose_it_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "theirs")
    workspace.folder.mkdir()
    data = "results/small/data/addition/examples.safetensors"
    with_mask(workspace, 0o022, data)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*")}
    whose = "cannot be written by you, and belongs to user root; "
    for question, answer in (
        (["-l"], "unlearn_along_training"),
        (["--rulegraph=dot"], "digraph snakemake_dag"),
        (["--summary"], "update pending"),
        ([f"--report={tmp_path}/home/report.html", data], "Report created."),
    ):
        done = as_nobody(workspace, *question)
        assert done.returncode == 0, done.stdout
        assert answer in done.stdout
        assert f"results/small {whose}" in done.stdout
    with (workspace.folder / "results" / "small" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["--dry-run"], [], ["--config", "study=other"]):
            done = as_nobody(workspace, *command)
            assert done.returncode != 0
            assert f".snakemake {whose}" in done.stdout
            assert "Traceback" not in done.stdout
            named = r"results/small is being worked on by snakemake \(process \d+ of user root on \S+, since .*\); "
            assert bool(re.search(named, done.stdout)) == (not command)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "theirs").rglob("*")} == before
