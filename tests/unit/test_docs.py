"""The worked example of docs/notebook.md, run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_notebook_s_example_runs_and_forgets(tmp_path: Path) -> None:
    """The bounds are wide, for other versions of torch draw other numbers."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/notebook.md").read_text("utf-8"), re.M | re.S)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    before = printed["forget_accuracy"] + printed["forget_accuracy_drop"]
    assert before > 0.99, "it knew its training data by heart"
    assert 0.05 < printed["forget_accuracy_drop"] < 0.5
    assert printed["retain_accuracy_drop"] < printed["forget_accuracy_drop"] / 2
    assert printed["retrain_gap"] < 0.1
    assert 0.4 < printed["membership_accuracy"] < 0.65
    assert not list(tmp_path.iterdir()), "it leaves no files"
