"""What the Makefile offers, for a study anywhere and from a checkout anywhere, spaces in their paths included."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_runs import REPOSITORY, SMALL, SMOKE, Workspace, copied


@pytest.fixture
def checkout(checkout: Workspace, tmp_path: Path) -> Path:
    """A copy of the checkout; its environment counts as installed, and is this one."""
    place = tmp_path / "a checkout"
    checkout.repository.rename(place)
    shutil.copy(REPOSITORY / "Makefile", place)
    (place / ".venv").mkdir()
    (place / ".venv" / ".installed").touch()
    return place


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The smoke study, in a folder of the user's."""
    path = tmp_path / "own studies" / "my smoke.yaml"
    path.parent.mkdir()
    path.write_text(SMOKE.read_text())
    return path


def make(checkout: Path, *arguments: str, check: bool = True) -> str:
    """What `make` says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**Workspace(checkout).environment(), "PATH": path}
    done = subprocess.run(["make", *arguments], cwd=checkout, env=surroundings, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_study_is_known_by_what_the_package_says_of_it(checkout: Path, study: Path) -> None:
    study.write_text(SMALL.read_text().replace("study: small", "# Of mine.\n'study'  : own  # not small"))
    assert "study 'own' is valid" in make(checkout, "check", f"STUDY={study}", "PROFILE=")
    assert "results/own/store: 0.0 MB" in make(checkout, "store", f"STUDY={study}")
    assert "results/laptop: every file is" in make(checkout, "verify")
    told = make(checkout, "verify", f"STUDY={study.parent}/none.yaml", check=False)
    assert "none.yaml: cannot be read" in told


@pytest.mark.parametrize("target", ["reproduce", "tuning", "report", "rulegraph"])
@pytest.mark.parametrize("own", [True, False])
def test_snakemake_is_given_the_study_and_nothing_for_one(target: str, own: bool, checkout: Path, study: Path) -> None:
    """It takes all that follows --configfile for files."""
    snakemake = checkout / ".venv" / "bin" / "snakemake"
    snakemake.parent.mkdir()
    snakemake.write_text(f"#!{sys.executable}\nimport sys\nprint('told', sys.argv[1:])\n")
    snakemake.chmod(0o755)
    told = make(checkout, target, "PROFILE=", "CORES=1", *([f"STUDY={study}"] if own else []))
    results = "results/smoke" if own else "results/laptop"
    options = {
        "reproduce": ["--cores", "1"],
        "tuning": ["--cores", "1", "tuning"],
        "report": ["--report", f"{results}/report.html"],
        "rulegraph": ["--rulegraph", "mermaid-js"],
    }[target]
    assert f"told {[*options, *(['--configfile', str(study)] if own else [])]}\n" in told


@pytest.mark.long(sample=1)
def test_all_targets_work_on_a_study_elsewhere(smoke: Workspace, checkout: Path, study: Path) -> None:
    copied(smoke.folder, checkout)
    of_study = f"STUDY={study}"
    assert "Everything is up to date." in make(checkout, "why", of_study)
    assert "results/smoke/tuning/choice.csv" not in make(checkout, "reproduce", of_study, "CORES=2")
    make(checkout, "tuning", of_study, "CORES=2")
    assert (checkout / "results" / "smoke" / "tuning" / "choice.csv").exists()
    make(checkout, "report", of_study)
    assert (checkout / "results" / "smoke" / "report.html").stat().st_size > 10**5
    (checkout / "results" / "smoke" / "tables" / "old.parquet").touch()
    told = make(checkout, "clean-stale", of_study, "REMOVE=yes")
    assert "results/smoke/tables/old.parquet\n0.0 MB, removed" in told
    assert "results/smoke: every file is what its job wrote." in make(checkout, "verify", of_study)
    assert "results/smoke/store: " in make(checkout, "store", of_study)
    assert "Everything is up to date." in make(checkout, "why", of_study)


def test_a_study_without_candidates_says_that_there_is_nothing_to_choose(tmp_path: Path) -> None:
    done = Workspace(tmp_path).snakemake("--dry-run", "tuning", study=SMALL)
    assert "The study 'small' names no `tuning: candidates:`; there is nothing to choose." in done.stdout
    assert "\nchoose " not in done.stdout
