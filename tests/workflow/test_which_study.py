"""Which study a command runs, what it changes of it, and whose results it would replace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_runs import SMALL, Workspace

EXAMPLES = "results/{}/data/addition/examples.safetensors"


def renamed(path: Path, name: str, source: Path = SMALL) -> Path:
    """A study under another name."""
    text = source.read_text()
    assert "study: small\n" in text
    path.write_text(text.replace("study: small\n", f"study: {name}\n"))
    return path


def test_a_study_in_the_working_folder_is_run_and_its_results_go_there(checkout: Workspace) -> None:
    renamed(checkout.repository / "config.yaml", "of-the-checkout")
    assert checkout.planned(EXAMPLES.format("of-the-checkout"), study=None) == {"prepare": 1}
    renamed(checkout.folder / "config.yaml", "mine")
    checkout.snakemake(EXAMPLES.format("mine"), study=None)
    assert (checkout.folder / EXAMPLES.format("mine")).exists()
    assert not (checkout.repository / "results").exists()
    assert json.loads((checkout.folder / "results/mine/study.json").read_text())["file"] == (
        "config.yaml of the working folder"
    )
    assert checkout.planned(EXAMPLES.format("small"), study=SMALL) == {"prepare": 1}, "--configfile comes first"
    (checkout.folder / "config.yaml").write_text("study: mine\nsedes: [0]\n")
    done = checkout.snakemake("--dry-run", study=None, check=False)
    assert done.returncode != 0
    assert "config.yaml:2: sedes: unknown key" in done.stdout


def test_config_reaches_nested_keys_of_a_study_with_anchors(tmp_path: Path) -> None:
    text = SMALL.read_text()
    segments = "      steps: 1000\n      segment_steps: 500\n"
    assert segments in text
    study = tmp_path / "study.yaml"
    study.write_text(
        "x-length: &length {steps: 1000, segment_steps: 500}\n" + text.replace(segments, "      <<: *length\n")
    )
    workspace, steps = Workspace(tmp_path), "settings__modular-mlp__training__steps"
    assert workspace.planned(study=study)["train"] == 8
    plan = workspace.planned("--config", f"{steps}=1500", "settings__modular-mlp__seeds=[3]", study=study)
    assert plan["train"] == 6, "three segments of one seed, with and without the forget set"
    done = workspace.snakemake("--dry-run", "--config", f"{steps}=1501", study=study, check=False)
    assert done.returncode != 0
    assert "--config: settings.modular-mlp.training.steps: not a whole number of segments: found 1501" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.long(sample=1)
def test_a_copied_study_of_the_same_name_is_told_whose_results_there_are_before_anything_changes(
    tmp_path: Path,
) -> None:
    workspace, first, other = Workspace(tmp_path), tmp_path / "first.yaml", tmp_path / "other.yaml"
    first.write_text(SMALL.read_text())
    workspace.snakemake(EXAMPLES.format("small"), study=first)
    other.write_text(SMALL.read_text().replace("modulus: 31", "modulus: 29"))
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    for dry in ([], ["--dry-run"]):
        done = workspace.snakemake(*dry, EXAMPLES.format("small"), study=other, check=False)
        assert done.returncode != 0
        assert "results/small holds the results of another study file, first.yaml of the working folder" in done.stdout
        assert "other.yaml of the working folder has the same `study: small`" in done.stdout
        assert "Traceback" not in done.stdout
    assert before == {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    workspace.snakemake("--dry-run", "--config", "study=other", study=other)
    # The same file may be edited.
    first.write_text(other.read_text())
    workspace.snakemake(EXAMPLES.format("small"), study=first)
    # And the results become another file's where that is said.
    (tmp_path / "results/small/study.json").unlink()
    other.write_text(SMALL.read_text())
    workspace.snakemake(EXAMPLES.format("small"), study=other)
    done = workspace.snakemake("--dry-run", study=first, check=False)
    assert "holds the results of another study file, other.yaml of the working folder" in done.stdout


def test_the_default_study_by_its_name_is_the_default_study(checkout: Workspace) -> None:
    config = renamed(checkout.repository / "config.yaml", "mine")
    checkout.snakemake(EXAMPLES.format("mine"), study=None)
    config.write_text(config.read_text().replace("seeds: [0, 1]", "seeds: [0]"))
    checkout.snakemake("--dry-run", study=config)
    (checkout.folder / "config.yaml").symlink_to(config)
    checkout.snakemake("--dry-run", study=None)
