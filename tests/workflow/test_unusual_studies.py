"""Studies at the edge of what is allowed run to the end all the same."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from snakemake_runs import SMALL, Workspace


@pytest.mark.long(sample=0.5)
def test_runs_that_diverge_before_their_first_update_are_results(tmp_path: Path) -> None:
    """Initial weights whose products overflow: there is no trained snapshot, so tables along training have no rows."""
    text = SMALL.read_text()
    for old, new in (
        ("hidden: [96]", "hidden: [8, 8, 8, 8, 8, 8]"),
        ("    training:\n", "    initialisation_scale: 1000\n    training:\n"),
        ("seeds: [0, 1]", "seeds: [0]"),
        ("    selection: {", "    checkpoints: [early, final]\n    selection: {"),
        ("along_training:", "analyses:\n  alignment: {kind: gradient-alignment}\n\nalong_training:"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    study = tmp_path / "study.yaml"
    study.write_text(text)
    Workspace(tmp_path).snakemake(study=study)
    tables = tmp_path / "results" / "small" / "tables"
    checkpoints = pd.read_parquet(tables / "checkpoints.parquet")
    assert set(checkpoints.kind) == {"diverged"}
    assert set(checkpoints.step) == {0}
    assert not checkpoints.found.any()
    for name in ("unlearning_along", "along"):
        table = pd.read_parquet(tables / f"{name}.parquet")
        assert table.empty
        types = [table[column].dtype.kind for column in ("seed", "step")]
        assert types == ["i", "i"]
    assert (tmp_path / "results" / "small" / "figures" / "figure1b.svg").exists()


@pytest.mark.long(sample=0.5)
def test_one_seed_that_diverges_under_other_names_is_a_result(tmp_path: Path) -> None:
    """A weight decay that throws the weights about, one seed (no spread, no interval), and references by other names."""
    text = SMALL.read_text()
    optimizer = re.search(r"optimizer: \{.*\}", text)
    assert optimizer
    for old, new in (
        (optimizer[0], "optimizer: {name: sgd, learning_rate: 100.0, weight_decay: 100.0}"),
        ("loss: cross-entropy", "loss: mse"),
        ("seeds: [0, 1]", "seeds: [0]"),
        ("  original: {", "  before: {"),
        ("  retrain: {", "  gold: {"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    study = tmp_path / "study.yaml"
    study.write_text(text)
    Workspace(tmp_path).snakemake(study=study)
    results = tmp_path / "results" / "small"
    checkpoints = pd.read_parquet(results / "tables" / "checkpoints.parquet")
    assert set(checkpoints.kind) == {"diverged"}
    assert not checkpoints.found[checkpoints.checkpoint == "grokked"].any()
    unlearning = pd.read_parquet(results / "tables" / "unlearning.parquet")
    assert {"before", "gold"} < set(unlearning.method)
    unlearned = unlearning[~unlearning.method.isin(["before", "gold"])]
    assert len(unlearned) == 15
    assert set(unlearned.flag) == {"diverged"}
    assert unlearned.forget_accuracy.isna().all()
    contrasts = pd.read_parquet(results / "tables" / "contrasts.parquet")
    assert contrasts.low.isna().all()
    assert "±" not in (results / "paper" / "table1.md").read_text().partition("\n\n")[2]
    # Nothing counts, so nothing is drawn, and the figure says both that and why.
    drawn = (results / "figures" / "figure2.svg").read_text()
    assert "no cell in which something is unlearned counts" in drawn
    assert "Left out: " in drawn
    assert "runs diverged" in drawn
