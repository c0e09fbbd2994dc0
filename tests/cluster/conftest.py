"""One Slurm for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.slurm import Slurm, missing_packages, running_slurm
from snakemake_runs import SMALL, Workspace


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real Slurm of one node with two cores; skips where its packages are not installed."""
    reason = missing_packages()
    if reason:
        pytest.skip(reason)
    with running_slurm() as running:
        yield running


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small study, run here and without Slurm."""
    workspace = Workspace(tmp_path_factory.mktemp("small"))
    workspace.snakemake(study=SMALL)
    return workspace
