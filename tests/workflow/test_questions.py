"""What a study's results are asked about them: why, verify, clean, and how much room they take."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from edits import PACKAGE, STUDY, code, locked, replaced, several, study
from snakemake_runs import SMALL, Workspace

RESULT = replaced(PACKAGE / "methods" / "scrub.py", "0.1 ** sum(", "0.2 ** sum(")


def why(workspace: Workspace, *targets: object) -> list[str]:
    """As `make why` asks."""
    summary = workspace.snakemake("--summary", *targets, study=workspace.repository / STUDY).stdout
    return workspace.python("why", told=summary).stdout.splitlines()


def clean(workspace: Workspace, *options: str) -> list[str]:
    """As `make clean-stale` asks."""
    summary = workspace.snakemake("--summary", "all", "tuning", study=workspace.repository / STUDY).stdout
    return workspace.python("clean", *options, told=summary).stdout.splitlines()


def test_why_names_which_of_spec_code_and_versions_changed(copy: Workspace) -> None:
    assert why(copy) == ["Everything is up to date."]
    several(
        code("methods/scrub.py"),
        study("learning_rate: 1e-2}", "learning_rate: 2e-2}"),
        locked("seaborn"),
        study("  fisher: {kind: fisher}\n", ""),
    )(copy.repository)
    lines = why(copy)
    (line,) = (line for line in lines if line.startswith("unlearn (2): "))
    assert "code of grokforget.methods.scrub" in line
    assert "config method.settings.learning_rate: 0.01 → 0.02" in line
    assert "no longer asked for: fisher" in line
    assert "seaborn" not in line
    assert any(re.search(r"^figure \(\d+\): .*locked version of seaborn: 0\S+ → 99\.0", line) for line in lines)
    # What runs because of others comes last, and says so.
    assert lines[-1].endswith("what it reads is made again")


def test_why_of_a_target_is_of_what_it_needs(copy: Workspace) -> None:
    several(code("methods/scrub.py"), study("snapshots: 8", "snapshots: 6"))(copy.repository)
    cause, *behind = why(copy, "results/smoke/tables/unlearning.parquet")
    assert cause == "unlearn (2): code of grokforget.methods.scrub"
    assert sorted(behind) == [f"{rule}: what it reads is made again" for rule in ("collect (1)", "measure (2)")]
    assert why(copy, "results/smoke/forget/modular-mlp/seed1") == ["Everything is up to date."]


def test_what_was_never_made_is_said_to_be_missing(copy: Workspace) -> None:
    study("seeds: [0, 1]", "seeds: [0, 1, 2]")(copy.repository)
    lines = why(copy, "results/smoke/checkpoints/modular-mlp/seed2")
    assert sorted(line.partition(":")[0] for line in lines) == ["forget (1)", "select (1)", "split (1)", "train (4)"]
    assert all(line.endswith("not made yet, or no longer whole") for line in lines)


def test_an_input_that_is_another_and_an_output_that_is_damaged_are_named(copy: Workspace, smoke: Workspace) -> None:
    root = copy.folder / "results" / "smoke"
    table = root / "tables" / "training.parquet"
    # Another table of ours, as if copied there.
    table.unlink()
    shutil.copyfile(smoke.folder / "results" / "smoke" / "tables" / "checkpoints.parquet", table)
    lines = why(copy)
    assert "collect (1): tables/training.parquet is missing or damaged" in lines
    assert any(line.startswith("figure (") and "tables/training.parquet is another" in line for line in lines)


@pytest.mark.long(sample=1)
def test_verify_finds_what_is_damaged_and_the_next_run_makes_just_that_again(copy: Workspace, smoke: Workspace) -> None:
    assert copy.python("verify", "results/smoke").stdout == "results/smoke: every file is what its job wrote.\n"
    damaged = Path("results/smoke/train/modular-mlp/seed0/full/segment001/snapshots.safetensors")
    content = bytearray((copy.folder / damaged).read_bytes())
    content[-1] ^= 1
    (copy.folder / damaged).write_bytes(content)
    done = copy.python("verify", "results/smoke", check=False)
    assert done.returncode == 1
    told = f"{damaged} is not what was written: its checksum is another. The next run makes it anew.\n"
    assert done.stdout == told
    copy.snakemake(study=copy.repository / STUDY)
    assert (copy.folder / damaged).read_bytes() == (smoke.folder / damaged).read_bytes()
    assert copy.python("verify", "results/smoke").returncode == 0


@pytest.mark.long(sample=1)
def test_what_is_out_of_date_behind_valid_results_runs_at_once(copy: Workspace) -> None:
    (copy.folder / "results/smoke/train/modular-mlp/seed0/full/segment001/snapshots.safetensors").write_bytes(
        b"damaged"
    )
    assert copy.python("verify", "results/smoke", check=False).returncode == 1
    code("figures/parts/style.py")(copy.repository)
    planned = copy.planned(study=copy.repository / STUDY)
    assert planned["train"] >= 1
    assert planned["figure"] == 13
    copy.snakemake(study=copy.repository / STUDY)
    assert copy.planned(study=copy.repository / STUDY) == {}


@pytest.mark.long(sample=1)
def test_a_damaged_final_table_or_figure_is_found_when_a_run_is_planned(copy: Workspace, smoke: Workspace) -> None:
    for name in ("tables/claims.parquet", "figures/figure2.png"):
        with open(copy.folder / "results" / "smoke" / name, "r+b") as file:
            file.write(b"damaged")
    planned = copy.planned(study=copy.repository / STUDY)
    assert (planned["claims"], planned["figure"]) == (1, 2)
    copy.snakemake(study=copy.repository / STUDY)
    assert copy.tables() == smoke.tables()


def test_clean_lists_what_no_job_makes_and_removes_it_on_request_alone(copy: Workspace) -> None:
    assert clean(copy) == ["results/smoke: every file belongs to a job of this study."]
    several(study("seeds: [0, 1]", "seeds: [1]"), study("likelihood_ratio_attack: true\n", ""))(copy.repository)
    root = copy.folder / "results" / "smoke"
    (root / "tables" / ".half.4711.parquet").touch()
    (root / "mine.txt").touch()
    before = {path for path in sorted(root.rglob("*")) if "specs" not in path.parts}
    lines = clean(copy)
    assert any(line.startswith("results/smoke/train/modular-mlp/seed0/ (") for line in lines)
    assert {"results/smoke/tables/.half.4711.parquet", "results/smoke/mine.txt"} <= set(lines)
    assert not any("seed1/" in line or "seed1." in line for line in lines)
    assert lines[-1].endswith("belongs to no job of this study; give REMOVE=yes to remove it")
    assert {path for path in sorted(root.rglob("*")) if "specs" not in path.parts} == before
    assert clean(copy, "--remove")[-1].endswith("removed")
    left = [path for path in sorted(root.rglob("*")) if "store" not in path.parts]
    assert not [path for path in left if "seed0" in str(path)]
    assert clean(copy) == ["results/smoke: every file belongs to a job of this study."]
    # What is left is what a run without the seed needs.
    assert "train" not in copy.planned(study=copy.repository / STUDY)


def test_the_store_takes_no_room_beside_the_results(copy: Workspace) -> None:
    told = copy.python("store", "results/smoke").stdout
    size = re.fullmatch(r"results/smoke/store: (\S+) MB, (\S+) MB of them beside the results\.\n", told)
    assert size, told
    assert float(size[1]) > 1
    assert float(size[2]) == 0


@pytest.mark.long(sample=1)
def test_what_is_no_longer_asked_for_leaves_the_store_after_the_next_run(copy: Workspace) -> None:
    RESULT(copy.repository)
    before = sorted((copy.folder / "results/smoke/store").glob("*/*/entry.json"))
    done = copy.snakemake(study=copy.repository / STUDY)
    after = sorted((copy.folder / "results/smoke/store").glob("*/*/entry.json"))
    assert len(after) == len(before), "as many entries, others among them"
    assert set(after) != set(before)
    assert re.search(
        r"Store \S+: \S+ MB, 0\.0 MB of them beside the results; \S+ MB that nothing needs any more", done.stdout
    )


@pytest.mark.parametrize("first", [1, -1])
def test_any_results_can_be_asked_for_at_once(first: int, tmp_path: Path) -> None:
    """In a fresh folder, in any order: what one of them needs is planned after Snakemake has looked for what others need."""
    workspace = Workspace(tmp_path)
    planned = workspace.snakemake("--summary", study=SMALL).stdout
    outputs = re.findall(r"^(results/small/\S+)\t", planned, re.MULTILINE)
    assert len(outputs) > 50
    shutil.rmtree(tmp_path / "results")
    told = workspace.snakemake("--dry-run", *outputs[::first], study=SMALL).stdout
    wanted = re.search(r"^total +(\d+)$", workspace.snakemake("--dry-run", study=SMALL).stdout, re.MULTILINE)
    found = re.search(r"^total +(\d+)$", told, re.MULTILINE)
    assert wanted
    assert found
    assert int(found[1]) == int(wanted[1]) - 1, "all but the target that asks for everything"
