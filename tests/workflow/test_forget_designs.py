"""A study with every design of forget sets: by difficulty among them, which training comes before."""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from computed import computed_in
from snakemake_runs import SMALL, Workspace

DESIGNS = """\
forget_sets:
  random: {kind: random, fraction: 0.1}
  uneven: {kind: uneven-classes, fraction: 0.1}
  hardest: {kind: by-difficulty, fraction: 0.1}
  apart: {kind: duplicated, fraction: 0.1, twins: apart}
  noisy: {kind: noisy, wrong: 0.2, intended: {kind: within-classes, fraction: 0.5}}
"""


def study(folder: Path, forget_sets: str) -> Path:
    """The small study with other forget sets, one seed, two methods, a short run and the measure of requests."""
    text = SMALL.read_text()
    for pattern, new in (
        (r"forget_sets:\n(  .*\n)+", forget_sets),
        (r"seeds: .*", "seeds: [0]"),
        (r"  (nabla-tau|scrub|fisher|fine-tune): \{kind.*\n", ""),
        (r" steps: 1000\n( +)segment_steps: 500", r" steps: 200\n\1segment_steps: 100"),
        (r"snapshots: 8", "snapshots: 2"),
        (r"  membership: .*\n", "  request: {kind: request}\n"),
    ):
        text, count = re.subn(pattern, new, text)
        assert count, pattern
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_difficulty_is_measured_where_a_forget_set_is_drawn_by_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    without = study(tmp_path, "".join(line for line in DESIGNS.splitlines(True) if "difficulty" not in line))
    assert "difficulty" not in workspace.planned(study=without)
    assert workspace.planned(study=study(tmp_path, DESIGNS))["difficulty"] == 1


def test_what_comes_before_a_difficulty_is_planned_before_it(tmp_path: Path) -> None:
    workspace, path = Workspace(tmp_path), study(tmp_path, DESIGNS)
    scores, forget, full, without = (
        workspace.planned(f"results/small/{key}", study=path)
        for key in (
            *("difficulty/modular-mlp/seed0", "forget/modular-mlp/seed0"),
            *(f"train/modular-mlp/seed0/{name}/segment001/curve.parquet" for name in ("full", "without-hardest")),
        )
    )
    assert scores["train"] == 2
    assert "forget" not in scores
    assert (forget["train"], forget["difficulty"]) == (2, 1)
    assert without["difficulty"] == 1
    assert "difficulty" not in full


@pytest.mark.long(sample=0.5)
def test_a_study_by_difficulty_and_of_errors_runs_to_the_end(tmp_path: Path) -> None:
    few = "".join(line for line in DESIGNS.splitlines(True) if not re.match("  (random|uneven|apart)", line))
    workspace, path = Workspace(tmp_path), study(tmp_path, few)
    done = workspace.snakemake(study=path)
    ran = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", done.stdout)
    assert Counter(ran)["difficulty"] == 1
    assert ran.index("difficulty") < ran.index("forget")
    results = tmp_path / "results" / "small"
    splits = {file.stem: load_file(file) for file in results.glob("forget/modular-mlp/seed0/*.safetensors")}
    errors = {name: (len(parts["missed"]), len(parts["mistaken"])) for name, parts in splits.items()}
    wrong = round(0.2 * len(splits["noisy"]["forget"]))
    assert errors == {"hardest": (0, 0), "noisy": (wrong, wrong)}
    assert wrong > 0
    table = pd.read_parquet(results / "tables" / "unlearning.parquet").set_index("forget_set")
    assert table.loc["noisy", ["missed_accuracy", "mistaken_accuracy"]].notna().all(axis=None)
    assert table.drop("noisy")[["missed_accuracy", "mistaken_accuracy"]].isna().all(axis=None)
    # The request is obeyed: the retrained model has not seen those that it names by mistake.
    gold = table.loc["noisy"].set_index("method").loc["retrain"]
    assert (gold.missed_accuracy > gold.mistaken_accuracy).any()
    assert workspace.planned(study=path) == {}
    # A further forget set is drawn by the difficulty that there is, and what there was stays.
    more = study(tmp_path, few + "  easiest: {kind: by-difficulty, fraction: 0.1, order: easiest}\n")
    workspace.born = time.time_ns()
    workspace.snakemake(study=more)
    done = computed_in(workspace, "small")
    assert done["forget/modular-mlp/seed0"] == {"easiest"}
    assert "difficulty/modular-mlp/seed0" not in done, "it is the same number that the hardest are drawn by"
    assert {job.split("/")[3] for job in done if job.startswith("train/")} == {"without-easiest"}
    assert [job for job in done if job.startswith("unlearn/")] == ["unlearn/modular-mlp/seed0/easiest"]
