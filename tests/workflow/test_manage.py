"""What a study's results are asked about them: why, verify, clean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edits import STUDY, code, several, study
from snakemake_runs import Workspace

pytestmark = pytest.mark.xdist_group("smoke")


def manage(workspace: Workspace, what: str, *arguments: object) -> tuple[int, list[str]]:
    """Exit status and lines of `python -m grokforget.manage`."""
    environment = {**os.environ, "PYTHONPATH": str(workspace.repository / "workflow" / "src")}
    command = [sys.executable, "-m", "grokforget.manage", what, str(workspace.repository / STUDY), *map(str, arguments)]
    done = subprocess.run(command, cwd=workspace.folder, env=environment, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_why_of_a_finished_study_says_who_made_a_file_and_when(copy: Workspace) -> None:
    assert manage(copy, "why") == (0, ["results/smoke: everything is up to date."])
    status, (line,) = manage(copy, "why", "results/smoke/figures/figure2.png")
    assert status == 0
    assert line.startswith("results/smoke/figures/figure2.png: up to date, made on 20")


def test_why_names_the_first_causes_of_a_target_and_no_others(copy: Workspace) -> None:
    several(code("unlearning/scrub.py"), study("snapshots: 8", "snapshots: 6"))(copy.repository)
    _, lines = manage(copy, "why", "results/smoke/tables/unlearning.parquet")
    assert lines == [
        "results/smoke/tables/unlearning.parquet: what it reads is out of date or new: parts",
        "Before that:",
        "  unlearn (2): code of grokforget.unlearning.scrub",
    ]
    _, lines = manage(copy, "why", "results/smoke/forget/modular-mlp/seed1", "results/smoke/nothing")
    assert lines[0].startswith("results/smoke/forget/modular-mlp/seed1: up to date")
    assert lines[1:] == ["results/smoke/nothing: no job of this study makes it."]
    _, lines = manage(copy, "why")
    assert "  unlearn (2): code of grokforget.unlearning.scrub" in lines
    assert any(line.startswith("  measure (2): what it reads is out of date") for line in lines)


def test_what_was_never_made_is_said_to_be_missing(copy: Workspace) -> None:
    study("seeds: [0, 1]", "seeds: [0, 1, 2]")(copy.repository)
    _, lines = manage(copy, "why", "results/smoke/checkpoints/modular-mlp/seed2/full.parquet")
    assert lines == [
        "results/smoke/checkpoints/modular-mlp/seed2/full.parquet: not made yet",
        "Before that:",
        "  split (1): not made yet",
        "  forget (1): not made yet",
        "  train (4): not made yet",
    ]


def test_verify_finds_what_is_damaged_and_the_next_run_makes_just_that_again(copy: Workspace, smoke: Workspace) -> None:
    assert manage(copy, "verify") == (0, ["results/smoke: every file is what its job wrote."])
    damaged = Path("results/smoke/train/modular-mlp/seed0/full/segment001/snapshots.safetensors")
    content = bytearray((copy.folder / damaged).read_bytes())
    content[-1] ^= 1
    (copy.folder / damaged).write_bytes(content)
    status, lines = manage(copy, "verify")
    assert status == 1
    assert lines == [f"{damaged} is not what was written: its checksum is another. The next run makes it anew."]
    assert copy.planned(study=copy.repository / STUDY) == {"train": 1}
    copy.snakemake(study=copy.repository / STUDY)
    assert (copy.folder / damaged).read_bytes() == (smoke.folder / damaged).read_bytes()
    assert manage(copy, "verify")[0] == 0


def test_what_is_out_of_date_behind_valid_results_runs_at_once(copy: Workspace) -> None:
    """Snakemake asks no job for reasons of its own that lies behind one that runs, although all between them stays as it is."""
    (copy.folder / "results/smoke/train/modular-mlp/seed0/full/segment001/snapshots.safetensors").write_bytes(
        b"damaged"
    )
    assert manage(copy, "verify")[0] == 1
    code("results/style.py")(copy.repository)
    assert copy.planned(study=copy.repository / STUDY) == {"train": 1, "figure": 11, "provenance": 1}


def test_clean_lists_what_no_job_makes_and_removes_it_on_request_alone(copy: Workspace) -> None:
    assert manage(copy, "clean") == (0, ["results/smoke: every file belongs to a job of this study."])
    several(study("seeds: [0, 1]", "seeds: [1]"), study("likelihood_ratio_attack: true\n", ""))(copy.repository)
    root = copy.folder / "results" / "smoke"
    (root / "tables" / ".half.4711.parquet").touch()
    (root / "mine.txt").touch()
    before = sorted(root.rglob("*"))
    _, lines = manage(copy, "clean")
    assert "results/smoke/train/modular-mlp/seed0/ (12 files)" in lines
    assert {"results/smoke/tables/.half.4711.parquet", "results/smoke/mine.txt"} <= set(lines)
    assert not any("seed1" in line for line in lines)
    assert lines[-1].endswith("belongs to no job of this study; give REMOVE=yes to remove it")
    assert sorted(root.rglob("*")) == before
    _, lines = manage(copy, "clean", "--remove")
    assert lines[-1].endswith("removed")
    left = [path for path in sorted(root.rglob("*")) if path.name != ".lock"]
    assert not [path for path in left if "seed0" in str(path)]
    assert set(left) < set(before)
    assert manage(copy, "clean") == (0, ["results/smoke: every file belongs to a job of this study."])
    # What is left is what a run without the seed needs.
    assert "train" not in copy.planned(study=copy.repository / STUDY)


def test_a_study_that_cannot_be_read_is_told(copy: Workspace) -> None:
    study("seeds: [0, 1]", "seeds: [0, 0]")(copy.repository)
    status, lines = manage(copy, "why")
    assert status == 1
    assert "seeds.1" in lines[0]
