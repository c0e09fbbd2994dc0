"""Long training: cut, extended, killed; always the same bits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from edits import STUDY
from snakemake_runs import SMOKE, Workspace


def edited(folder: Path, *changes: tuple[str, str]) -> Path:
    """The smoke study with some text replaced."""
    text = SMOKE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def snapshots(workspace: Workspace) -> dict[str, bytes]:
    """Every snapshot of one run by name, whatever segment it lies in."""
    run = workspace.folder / "results" / "smoke" / "train" / "modular-mlp" / "seed0" / "full"
    files = sorted(run.glob("segment*/snapshots.safetensors"))
    assert files
    return {name: array.tobytes() for file in files for name, array in load_file(file).items()}


def curve(workspace: Workspace) -> pd.DataFrame:
    run = workspace.folder / "results" / "smoke" / "train" / "modular-mlp" / "seed0" / "full"
    return pd.concat(map(pd.read_parquet, sorted(run.glob("segment*/curve.parquet"))), ignore_index=True)


@pytest.mark.long(sample=0.5)
def test_a_run_in_segments_is_the_uninterrupted_run_to_the_bit(smoke: Workspace, tmp_path: Path) -> None:
    whole = Workspace(tmp_path)
    study = edited(tmp_path, ("segment_steps: 500", "segment_steps: 1000"))
    last = "results/smoke/train/modular-mlp/seed0/full/segment001/state.safetensors"
    whole.snakemake(last, study=study)
    pieces = snapshots(smoke)
    # The end of a segment is kept too, which is one more snapshot in pieces; all others are the same.
    one = snapshots(whole)
    assert set(one) <= set(pieces)
    assert {name.split("/")[0] for name in set(pieces) - set(one)} <= {"500"}
    assert all(pieces[name] == one[name] for name in one)
    pd.testing.assert_frame_equal(curve(smoke), curve(whole), check_exact=True)


@pytest.mark.long(sample=0.5)
def test_more_steps_run_only_new_segments(copy: Workspace, tmp_path: Path) -> None:
    # The same file, edited: of another one of this name the results would not be.
    study = edited(tmp_path, ("steps: 1000\n", "steps: 1500\n")).replace(copy.repository / STUDY)
    before = snapshots(copy)
    plan = copy.planned(study=study)
    assert plan["train"] == 6, "one new segment for each of three seeds (the tuning's among them) and two train sets"
    assert {"prepare", "split", "forget"}.isdisjoint(plan)
    copy.snakemake(study=study)
    after = snapshots(copy)
    assert before.items() <= after.items()
    assert any(name.startswith("1500/") for name in after)


@pytest.mark.long(sample=0.5)
def test_a_killed_run_goes_on_and_ends_the_same(smoke: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    process = subprocess.Popen(
        workspace.command(),
        cwd=tmp_path,
        env=workspace.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    first = tmp_path / "results" / "smoke" / "train"
    deadline = time.monotonic() + 60
    while not list(first.glob("*/*/*/segment001/state.safetensors")):
        assert time.monotonic() < deadline, "no segment was trained in a minute"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results" / "smoke" / "provenance.json").exists()
    workspace.snakemake()
    assert workspace.tables() == smoke.tables()
    leftovers = [path for path in (tmp_path / "results").rglob(".*") if re.fullmatch(r"\..*\.\d+\.\w+", path.name)]
    assert len(leftovers) <= 2, f"a kill may leave what was being written, one file a job: {leftovers}"
