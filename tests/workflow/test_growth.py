"""A study of ten thousand cells is planned in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth import grown

pytestmark = pytest.mark.xdist_group("smoke")


def test_ten_thousand_cells_are_planned_in_six_seconds_and_a_gigabyte(tmp_path: Path) -> None:
    row = grown(tmp_path, seeds=20, forget_sets=4, methods=14)
    assert row["cells"] == 10_080
    assert row["dry run processor s"] <= 6, row
    assert row["no-op processor s"] <= 6, row
    assert row["MB"] < 1000, row
