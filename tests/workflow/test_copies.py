"""Results that were copied, damaged, forced or mixed: what is computed then, and that nothing wrong is taken for valid."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from computed import computed, computed_in
from edits import PACKAGE, STUDY, appended, code, replaced, restored
from snakemake_runs import Workspace, copied

SCRUB_LOSS = replaced(PACKAGE / "methods" / "scrub.py", "self.gamma * problem", "2 * self.gamma * problem")
OPTIMIZERS = PACKAGE / "training" / "optimizers.py"
OTHER_BITS = replaced(
    OPTIMIZERS,
    'return switched(spec, "weight_decay", step)',
    'return switched(spec, "weight_decay", step) * (1 + 1e-4)',
)
LONG = pytest.mark.long(sample=1)
SCRUB = {"unlearn/modular-mlp/seed0/within-50": {"scrub"}, "unlearn/modular-mlp/seed1/within-50": {"scrub"}}


@pytest.mark.parametrize(
    "notes",
    [pytest.param(".snakemake", id="with Snakemake's notes", marks=LONG), pytest.param(None, id="the results alone")],
)
def test_results_copied_into_a_fresh_clone_compute_nothing(notes: str | None, copy: Workspace, tmp_path: Path) -> None:
    moved = Workspace(tmp_path / "elsewhere", tmp_path / "moved")
    # As `git clone` and `cp -r` do it: new time stamps, in no order that means anything, and no hard links.
    shutil.copytree(copy.repository, moved.repository, copy_function=shutil.copyfile)
    for name in ("results", notes):
        if name:
            shutil.copytree(copy.folder / name, moved.folder / name, copy_function=shutil.copyfile)
    before = moved.tables()
    moved.born = time.time_ns()
    moved.snakemake(study=moved.repository / STUDY)
    assert computed_in(moved) == {}
    assert moved.tables() == before
    assert moved.planned(study=moved.repository / STUDY) == {}
    code("methods/scrub.py")(moved.repository)
    assert computed(moved) == {"unlearn": 2}


@LONG
def test_results_of_other_code_copied_over_valid_ones_are_found_out(copy: Workspace, tmp_path: Path) -> None:
    """Snakemake's notes, and the time stamps, are of the results that were there before."""
    other = Workspace(tmp_path / "other", copy.repository)
    copied(copy.folder, other.folder)
    SCRUB_LOSS(copy.repository)
    copy.snakemake(study=copy.repository / STUDY)
    assert computed_in(copy)["unlearn/modular-mlp/seed0/within-50"] == {"scrub"}
    changed = copy.tables()
    assert copy.planned(study=copy.repository / STUDY) == {}
    # All but the store and the spec files, which would tell.
    for name in ("unlearn", "jobs"):
        copied(other.folder / "results" / "smoke" / name, copy.folder / "results" / "smoke" / name)
    copy.snakemake(study=copy.repository / STUDY)
    assert copy.tables() == changed
    assert copy.tables() != other.tables()
    assert computed_in(copy).keys() <= {*SCRUB, "provenance"}


@LONG
def test_other_bytes_of_one_training_run_reach_everything_behind_it_and_nothing_mixes(
    copy: Workspace, tmp_path: Path
) -> None:
    """As another processor gives them: the results of one run, made elsewhere with last bits of their own, copied in."""
    other = Workspace(tmp_path / "other", copy.repository)
    copied(copy.folder, other.folder)
    OTHER_BITS(copy.repository)
    last = "results/smoke/train/modular-mlp/seed0/full/segment002/state.safetensors"
    other.snakemake(last, study=other.repository / STUDY)
    restored(OPTIMIZERS)(copy.repository)
    mine, theirs = copy.tables(), other.tables()
    run = Path("results/smoke/train/modular-mlp/seed0/full")
    for name in ("segment001", "segment002"):
        for file in (other.folder / run / name).glob("*.*"):
            # In place, with the time stamps of before: nothing but the content tells.
            stamp = (copy.folder / run / name / file.name).stat()
            (copy.folder / run / name / file.name).unlink()
            shutil.copyfile(file, copy.folder / run / name / file.name)
            os.utime(copy.folder / run / name / file.name, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    copy.snakemake(study=copy.repository / STUDY)
    done = computed_in(copy)
    assert "full" in done["checkpoints/modular-mlp/seed0"]
    assert {"scrub", "fisher"} <= done["unlearn/modular-mlp/seed0/within-50"]
    assert not any("seed1" in job for job in done), "the other seed's results have no part in it"
    assert copy.tables()["unlearning.parquet"] != mine["unlearning.parquet"]
    assert theirs == mine
    assert copy.planned(study=copy.repository / STUDY) == {}


def test_a_forced_rule_is_really_computed_and_what_follows_keeps(copy: Workspace, smoke: Workspace) -> None:
    copy.snakemake("--forcerun", "select", study=copy.repository / STUDY)
    done = computed_in(copy)
    assert set(done) == {f"checkpoints/modular-mlp/seed{seed}" for seed in (0, 1, 1000)}
    assert done["checkpoints/modular-mlp/seed0"] == {"full", "without-within-50"}
    assert copy.tables() == smoke.tables()
    # It holds of that run alone.
    assert not (copy.folder / "results" / "smoke" / ".forced.json").exists()


@LONG
def test_a_forced_file_is_computed(copy: Workspace) -> None:
    copy.snakemake("--force", "results/smoke/tables/training.parquet", study=copy.repository / STUDY)
    assert computed_in(copy) == {"tables/training": {""}}


@LONG
def test_after_deleting_all_output_the_store_has_it_until_it_is_emptied(copy: Workspace, smoke: Workspace) -> None:
    copy.snakemake("--delete-all-output", study=copy.repository / STUDY)
    assert not list((copy.folder / "results" / "smoke").glob("tables/*.parquet"))
    copy.snakemake(study=copy.repository / STUDY)
    assert computed_in(copy) == {}
    assert copy.tables() == smoke.tables()
    copy.snakemake("--delete-all-output", study=copy.repository / STUDY)
    copy.python("store", "results/smoke", "--empty")
    copy.snakemake("results/smoke/tables/checkpoints.parquet", study=copy.repository / STUDY)
    assert {"tables/checkpoints", "checkpoints/modular-mlp/seed0"} <= computed_in(copy).keys()
    assert (copy.folder / "results/smoke/tables/checkpoints.parquet").read_bytes() == smoke.tables()[
        "checkpoints.parquet"
    ]


@pytest.mark.long(sample=1)
def test_an_edit_and_its_opposite_compute_nothing(copy: Workspace) -> None:
    code("methods/scrub.py")(copy.repository)
    copy.snakemake("--dry-run", study=copy.repository / STUDY)
    restored(PACKAGE / "methods" / "scrub.py")(copy.repository)
    copy.snakemake(study=copy.repository / STUDY)
    assert computed_in(copy) == {}


def test_what_lies_between_is_not_computed_where_the_bytes_come_out_the_same(copy: Workspace, smoke: Workspace) -> None:
    code("methods/scrub.py")(copy.repository)
    copy.snakemake(study=copy.repository / STUDY)
    assert computed_in(copy) == SCRUB
    assert copy.tables() == smoke.tables()


def test_a_record_that_cannot_be_read_is_made_again(copy: Workspace) -> None:
    record = copy.folder / "results/smoke/jobs/tables/unlearning.json"
    record.write_text(record.read_text()[:100])
    assert copy.planned(study=copy.repository / STUDY)["collect"] == 1


def test_log_lines_of_another_format_are_another_format_of_log_lines(copy: Workspace) -> None:
    appended(PACKAGE / "runtime" / "progress.py", "\nEDITED = True\n")(copy.repository)
    assert copy.planned(study=copy.repository / STUDY) == {}
