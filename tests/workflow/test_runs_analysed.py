"""Runs from which nothing is unlearned are analysed along training, those of one job and those of jobs of their own."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pandas as pd
import pytest
import yaml

from small import STUDY
from snakemake_runs import Workspace

DECAY = "training.optimizer.weight_decay"
TABLES = Path("results", "small", "tables")


@pytest.mark.long(sample=0.5)
def test_runs_that_are_only_looked_at_are_analysed_along_training(tmp_path: Path) -> None:
    study = {key: deepcopy(STUDY[key]) for key in ("study", "data", "settings")}
    setting = study["settings"]["mlp"]
    setting["training"] |= {"steps": 40, "segment_steps": 20}
    study["settings"]["grid"] = {**setting, "together": True, "vary": {DECAY: [0.3, 1]}}
    study["analyses"] = {
        "weights": {"kind": "weights"},
        "fourier": {"kind": "fourier", "settings": ["grid"]},
        "sharpness": {"kind": "sharpness", "settings": ["mlp"]},
    }
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**study, "seeds": [0], "along_training": {"snapshots": 3}}))
    workspace = Workspace(tmp_path)
    jobs = {
        "prepare": 1,
        "split": 1,
        "train": 2,
        "together": 1,
        "analyse": 3,
        "collect": 2,
        "outcomes": 1,
        "fit_laws": 1,
    }
    # The figure `progress`, and `law`, `rates` and `gallery` of the grid.
    assert workspace.planned(study=file) == {**jobs, "figure": 4, "provenance": 1}
    workspace.snakemake(study=file)
    assert workspace.planned(study=file) == {}
    along = pd.read_parquet(tmp_path / TABLES / "along.parquet")
    assert {*along.forget_set} == {"full"}
    assert {*along.flag} == {""}
    found = set(zip(along.setting, along.analysis, strict=True))
    grid = [f"grid-weight-decay-{decay}" for decay in ("0p3", "1")]
    assert found == {
        ("mlp", "weights"),
        ("mlp", "sharpness"),
        *((one, name) for one in grid for name in ("weights", "fourier")),
    }
    assert along.groupby(["setting", "analysis"]).step.nunique().eq(3).all()
    # The same model, data, recipe and seed, in another job: the same snapshots, and so the same values.
    norms = along[along.analysis == "weights"].set_index(["setting", "step", "measure", "part"]).value
    assert norms["mlp"].equals(norms["grid-weight-decay-1"])
    # What the analysis says of the last snapshot is what training said of it.
    curve = pd.read_parquet(tmp_path / TABLES / "training.parquet").query("setting == 'mlp' and step == 40")
    assert norms["mlp", 40, "weight_norm", ""] == pytest.approx(curve.weight_norm.item())
    assert (tmp_path / "results" / "small" / "figures" / "progress.png").stat().st_size > 10_000
