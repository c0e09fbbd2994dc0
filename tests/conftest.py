"""The smoke study, run once for all tests, and copies of it to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from snakemake_runs import CODE, REPOSITORY, Workspace


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The smoke study, run once. Tests that change results take a copy."""
    workspace = Workspace(tmp_path_factory.mktemp("smoke"))
    workspace.snakemake()
    return workspace


@pytest.fixture
def checkout(tmp_path: Path) -> Workspace:
    """A copy of the checkout, to be changed, and an empty folder."""
    repository, folder = tmp_path / "checkout", tmp_path / "folder"
    for name in CODE:
        source, target = REPOSITORY / name, repository / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    folder.mkdir()
    return Workspace(folder, repository)


@pytest.fixture
def copy(smoke: Workspace, checkout: Workspace) -> Workspace:
    """A copy of the checkout and of the smoke study's results, to be changed."""
    shutil.copytree(smoke.folder, checkout.folder, dirs_exist_ok=True)
    return checkout
