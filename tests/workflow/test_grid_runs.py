"""A study of grids from which nothing is unlearned is run, and grown, many runs to a job and one to a job."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from small import STUDY
from snakemake_runs import Workspace

DECAY = "training.optimizer.weight_decay"
ROOT = Path("results", "small")


def written(folder: Path, decays: list[float], together: bool, fractions: list[float] | None = None) -> Path:
    setting = {**STUDY["settings"]["mlp"], "together": together}
    setting["training"] = {**setting["training"], "steps": 40, "segment_steps": 20}
    setting["vary"] = {DECAY: decays, "data.train_fraction": fractions or [0.5, 0.6]}
    study = {**{key: STUDY[key] for key in ("study", "seeds", "data")}, "settings": {"mlp": setting}}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    return file


def computed(folder: Path) -> list[str]:
    """The items of the jobs of runs that were computed, not taken from the store."""
    records = sorted((folder / ROOT / "jobs" / "together").rglob("*.json"))
    items = [json.loads(record.read_text())["items"].items() for record in records]
    return [name for of_job in items for name, item in of_job if item["status"] == "computed"]


@pytest.mark.long(sample=0.5)
def test_a_grid_that_grows_trains_what_is_new_and_is_what_jobs_of_their_own_give(tmp_path: Path) -> None:
    one = Workspace(tmp_path / "one")
    one.folder.mkdir()
    study = written(one.folder, [0.3], together=True)
    # The figures `fraction`, `rates` and `gallery`.
    tables = {"collect": 1, "outcomes": 1, "fit_laws": 1, "figure": 3, "provenance": 1}
    assert one.planned(study=study) == {"together": 2, **tables}
    one.snakemake(study=study)
    assert one.planned(study=study) == {}
    # Of two seeds: the examples of a data set once, for all, a split a seed, and a run of two segments.
    assert len(computed(one.folder)) == 2 + 2 * 2 + 2 * 2 * 2
    written(one.folder, [1, 0.3], together=True)
    one.snakemake(study=study)
    assert {name.split("/")[1] for name in computed(one.folder)} == {
        f"mlp-train-fraction-{fraction}-weight-decay-1" for fraction in ("0p5", "0p6")
    }
    apart = Workspace(tmp_path / "apart")
    apart.folder.mkdir()
    apart.snakemake(study=written(apart.folder, [0.3, 1], together=False))
    assert one.tables("small") == apart.tables("small")
    table = pd.read_parquet(one.folder / ROOT / "tables" / "runs.parquet")
    assert len(table) == 8
    assert set(zip(table.weight_decay, table.train_fraction, strict=True)) == {
        (a, b) for a in (0.3, 1) for b in (0.5, 0.6)
    }
