"""A dry run ends with what its jobs would cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from snakemake_runs import SMALL, Workspace

EXAMPLES = "results/small/data/addition/examples.safetensors"


@pytest.mark.long(sample=1)
def test_a_dry_run_tells_its_costs_once_and_nothing_else_does(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def told(*arguments: object) -> list[str]:
        output = workspace.snakemake(*arguments, study=SMALL).stdout
        return [line for line in output.splitlines() if "Expected:" in line]

    for arguments in (["--dry-run"], ["--dry-run", "--quiet"]):
        (line,) = told(*arguments)
        form = r"Expected: about \d+ core minutes? on 2 cores \(\d+ (s|min)\), up to 0\.\d GB of memory a job, \d+ MB on disk "
        assert re.match(form + r"\(\d+ MB of them unlearned models: `keep_models`\); as on cores of ", line), line
    for arguments in (["--dry-run", "--quiet", "all"], ["--dry-run", "--summary"], ["--dry-run", "--dag"]):
        assert told(*arguments) == []
    # Nor a run, nor where there is nothing to do; and what has run takes as long again.
    assert told(EXAMPLES) == []
    assert told("--dry-run", EXAMPLES) == []
    (line,) = told("--dry-run", "--forceall", EXAMPLES)
    assert line.endswith("; as such jobs took before.")
