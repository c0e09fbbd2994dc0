"""One Slurm for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.slurm import Slurm, missing_packages, running_slurm


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A real Slurm of one node with two cores; skips where its packages are not installed."""
    reason = missing_packages()
    if reason:
        pytest.skip(reason)
    with running_slurm() as running:
        yield running
