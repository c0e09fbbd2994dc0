"""A study that cannot be run stops Snakemake at once, with the message and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_runs import REPOSITORY, SMALL, SMOKE, Workspace


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kind: scrub", "kind: scrubb", ["study.yaml:", "methods.scrub", "'scrubb'", "did you mean 'scrub'?"]),
        ("seeds: [0, 1]", "seeds: [0, 0]", ["study.yaml:4", "seeds.1", "found 0", "each value once"]),
    ],
)
def test_the_message_names_file_and_key_and_nothing_is_written(
    old: str, new: str, expected: list[str], tmp_path: Path
) -> None:
    text = SMOKE.read_text()
    assert old in text
    study = tmp_path / "study.yaml"
    study.write_text(text.replace(old, new, 1))
    done = Workspace(tmp_path).snakemake(study=study, check=False)
    assert done.returncode != 0
    for part in expected:
        assert part in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_default_study_that_is_no_yaml_is_named_with_its_line(checkout: Workspace) -> None:
    (checkout.repository / "config.yaml").write_text("study: mine\nseeds: [0\ndata: {}\n")
    done = checkout.snakemake(study=None, check=False)
    assert done.returncode != 0
    assert "config.yaml:3: not valid YAML" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_given_study_that_is_no_yaml_stops_before_anything_is_written(tmp_path: Path) -> None:
    """Snakemake reads the file before the workflow does, and does not name it; `make check` and `make reproduce` do."""
    study = tmp_path / "study.yaml"
    study.write_text("study: [mine\n")
    done = Workspace(tmp_path).snakemake(study=study, check=False)
    assert done.returncode != 0
    assert "not valid JSON or YAML" in done.stdout
    assert not (tmp_path / "results").exists()
    done = subprocess.run(
        ["make", "--silent", "--old-file", f"{sys.prefix}/.installed", "check", f"STUDY={study}", f"VENV={sys.prefix}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"{study}:2: not valid YAML" in done.stderr


def test_two_studies_at_once_are_refused(tmp_path: Path) -> None:
    done = Workspace(tmp_path).snakemake("--configfile", SMOKE, SMOKE, study=None, check=False)
    assert done.returncode != 0
    assert "A study is one file" in done.stdout


def test_values_of_the_command_line_are_checked_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    done = workspace.snakemake("--config", "seeds=[0]", "--dry-run", study=SMALL)
    assert "seed 0" in done.stdout
    assert "seed 1" not in done.stdout
    done = workspace.snakemake("--config", "sedes=[0]", "--dry-run", check=False)
    assert "did you mean 'seeds'?" in done.stdout
