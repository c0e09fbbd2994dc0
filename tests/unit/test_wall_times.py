"""Seconds until a run grokked, from the records of its segments."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from grokforget import __main__ as command
from grokforget.runtime import paths
from grokforget.runtime.files import write_json, write_table
from grokforget.tables.wall_times import seconds_a_step, wall_times

RUNS = pd.DataFrame(
    {
        "setting": ["mlp", "mlp", "mlp", "slow"],
        "seed": [0, 1, 2, 0],
        "train_set": ["full"] * 4,
        "kind": ["grokking", "grokking", "no transition", "no transition"],
        "t_mem": [100.0, 100.0, 100.0, 100.0],
        "t_grok": [500.0, 700.0, math.nan, math.nan],
        "transition": [True, True, False, False],
        "censored": [False, False, True, True],
        "steps": [1000] * 4,
    }
)


def segment(
    root: Path, setting: str, seed: int, number: int, stop: int, seconds: float, status: str = "computed"
) -> None:
    """A segment's record, as much of it as is read."""
    job = paths.SEGMENT.format(setting=setting, seed=seed, train_set="full", segment=f"{number:03}")
    record = {
        "spec": {"items": {"": {"spec": {"stop": stop}}}},
        "items": {"": {"key": "k", "status": status}},
        "read": {},
        "wrote": {},
        "costs": {"work_s": seconds, "imports_s": 99.0},
    }
    write_json(root / paths.record_of(job), record)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_table(tmp_path / "tables" / "runs.parquet", RUNS)
    segment(tmp_path, "mlp", 0, 1, 400, 1.0)
    segment(tmp_path, "mlp", 0, 2, 1000, 3.0)
    segment(tmp_path, "mlp", 1, 1, 1000, 2.0)
    segment(tmp_path, "mlp", 2, 1, 1000, 8.0)
    segment(tmp_path, "slow", 0, 1, 1000, 5.0)
    return tmp_path


def test_a_step_costs_the_work_of_all_segments_over_their_steps(root: Path) -> None:
    assert seconds_a_step(root, "mlp", 0) == pytest.approx(4e-3)
    assert math.isnan(seconds_a_step(root, "mlp", 7))


def test_what_another_job_computed_has_no_seconds(root: Path) -> None:
    segment(root, "mlp", 0, 1, 400, 0.01, status="kept")
    assert math.isnan(seconds_a_step(root, "mlp", 0))


def test_times_are_those_of_runs_that_grokked(root: Path) -> None:
    found = wall_times(root).set_index("setting")
    # 500 steps at 4 ms and 700 at 2 ms; the third seed counts as a run and for its step alone.
    assert found.loc["mlp"].to_list() == [3, 2, "600 [500, 700]", "4.00 [2.00, 8.00]", "1.70 [1.40, 2.00]"]
    assert found.loc["slow"].to_list() == [1, 0, "–", "5.00 [5.00, 5.00]", "–"]


def test_the_command_prints_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["times", str(root)]) == 0
    assert "1.70 [1.40, 2.00]" in capsys.readouterr().out


def test_without_a_table_of_runs_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["times", str(tmp_path)]) == 1
    assert "runs.parquet is missing" in capsys.readouterr().err
