"""What is wrong around a study stops it before anything is done, with a message that names the remedy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grokforget.config.profiles import problems
from snakemake_runs import REPOSITORY, Workspace


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
