"""The worked examples of docs/extending.md: written where it says, registered as it says, and run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from snakemake_runs import REPOSITORY, Workspace

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?:python|yaml) (file|registry)=(\S+)(?: into=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow_the_page(checkout: Path) -> list[str]:
    """Do what the page's marked blocks say, in order; returns what was done."""
    done = []
    for kind, name, registry, text in BLOCK.findall(PAGE):
        path = checkout / name
        if kind == "file":
            assert not path.exists(), f"{name} is there already"
            path.write_text(text, encoding="utf-8")
        else:
            source = path.read_text(encoding="utf-8")
            entry = re.search(r"^class (\w+)", text, re.MULTILINE)
            assert entry, text
            assert source.count(f"\n{registry} = registry(") == 1
            source = source.replace(f"\n{registry} = registry(", f"\n{text}\n\n{registry} = registry({entry[1]}, ")
            path.write_text(source, encoding="utf-8")
        done.append(name)
    return done


def test_the_method_keeps_what_every_method_promises(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "workflow", tmp_path / "workflow")
    follow_the_page(tmp_path)
    contract = REPOSITORY / "tests" / "conformance" / "test_method_contract.py"
    path = "pythonpath=" + shlex.join([str(tmp_path / "workflow" / "src"), str(REPOSITORY / "tests")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", path, "-k", "noisy-fine-tune"]
    done = subprocess.run([*command, str(contract)], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20


@pytest.mark.long(sample=1)
def test_a_data_set_a_model_and_a_method_of_ones_own(copy: Workspace) -> None:
    done = follow_the_page(copy.repository)
    assert len(done) == 7, done
    study = copy.repository / done[-1]
    assert study.suffix == ".yaml"
    plan = copy.planned()
    assert plan == {}, "adding components reruns nothing of the studies that do not use them"
    copy.snakemake("results/mine/tables/unlearning.parquet", study=study)
    table = pd.read_parquet(copy.folder / "results" / "mine" / "tables" / "unlearning.parquet")
    assert set(table.method) == {"original", "retrain", "noisy-fine-tune"}
    cells = table.set_index(["method", "checkpoint"])
    changed = cells.loc["noisy-fine-tune", "forget_loss"] - cells.loc["original", "forget_loss"]
    assert (changed.abs() > 1e-6).all(), "the new method did something"
