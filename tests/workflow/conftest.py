"""The smoke study, run once for all tests."""

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
def copy(smoke: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the checkout and of the smoke study's results, to be changed."""
    repository = tmp_path / "checkout"
    for name in CODE:
        source, target = REPOSITORY / name, repository / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    folder = tmp_path / "folder"
    shutil.copytree(smoke.folder, folder)
    return Workspace(folder, repository)
