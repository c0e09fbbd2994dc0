"""Faults at random moments, as `python -m faults` injects them."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.harness import Harness
from faults.kinds import KINDS

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.long(sample=13)]
FAULTS = 104


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    return Harness(tmp_path_factory.mktemp("faults") / "runs", seed=1)


@pytest.mark.parametrize("number", range(FAULTS), ids=lambda number: f"{list(KINDS)[number % len(KINDS)]} {number}")
def test_the_same_command_ends_with_the_same_tables(number: int, harness: Harness) -> None:
    outcome = harness.run(number)
    if not outcome.ran:
        pytest.skip(outcome.what)
    assert outcome.identical, str(outcome)


def test_the_harness_tells_a_run_that_ended_differently(harness: Harness, tmp_path: Path) -> None:
    """It would find nothing if it compared nothing."""
    reference = harness.reference.folder / "results" / "small" / "tables" / "checkpoints.parquet"
    content = reference.read_bytes()
    reference.write_bytes(content[:-1])
    try:
        outcome = harness.run(FAULTS)
    finally:
        reference.write_bytes(content)
    assert not outcome.identical
    assert "checkpoints.parquet" in outcome.what
