"""The oldest Snakemake that is claimed runs a study as the pinned one does."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from computed import computed_in
from snakemake_runs import REPOSITORY, SMALL, Workspace

pytestmark = pytest.mark.long(sample=0.5)


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    """The Python of an environment with the oldest release that the Snakefile takes, and all else of this one."""
    claimed = re.search(r'min_version\("(\d+\.\d+)"\)', (REPOSITORY / "Snakefile").read_text())
    assert claimed
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "oldest")], check=True)
    python = tmp_path / "oldest" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", f"snakemake=={claimed[1]}.*"]
    installed = subprocess.run(list(map(str, install)), capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"Snakemake {claimed[1]} cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")
    where = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    )
    (Path(where.stdout.strip()) / "all-else.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_a_study_runs_keeps_and_is_forced(oldest: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    workspace = Workspace(folder)

    def snakemake(*arguments: object) -> str:
        command = [str(oldest), *workspace.command(*arguments, study=SMALL)[1:]]
        done = subprocess.run(command, cwd=folder, env=workspace.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    version = subprocess.run([str(oldest), "-m", "snakemake", "--version"], capture_output=True, text=True).stdout
    assert version.startswith("9.0.")
    snakemake()
    tables = workspace.tables("small")
    assert "Nothing to be done" in snakemake("--dry-run")
    workspace.born = max(path.stat().st_mtime_ns for path in (folder / "results").rglob("*.json"))
    snakemake("--forcerun", "select")
    assert {job.partition("/")[0] for job in computed_in(workspace, "small")} == {"checkpoints"}
    assert workspace.tables("small") == tables
    assert workspace.planned(study=SMALL) == {}, "the pinned one finds nothing to do"
