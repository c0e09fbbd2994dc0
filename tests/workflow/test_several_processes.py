"""A run that several processes train together, through Snakemake: what its job asks for, and that it is made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from snakemake_runs import SMALL, Workspace

SUBMIT = """#!/bin/sh
echo "$@" >> asked
exit 1
"""


@pytest.mark.long(sample=1)
def test_it_is_trained_here_and_asks_a_cluster_for_as_many_gpus_cores_and_memory(tmp_path: Path) -> None:
    workspace, study = Workspace(tmp_path), yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    setting = study["settings"]["modular-mlp"]
    setting["training"] |= {"processes": 2, "steps": 40, "segment_steps": 40}
    setting["resources"] = {"memory_mb": 700}
    study["threads"] = 3
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    job = "train/modular-mlp/seed0/full/segment001"
    target = f"results/small/{job}/state.safetensors"

    workspace.snakemake(target, study=path, cores=6)
    record = json.loads((tmp_path / f"results/small/jobs/{job}.json").read_text())
    assert {Path(file).stem for file in record["wrote"]} == {"state", "snapshots", "curve"}
    assert "train 40/40" in (tmp_path / f"results/small/logs/{job}.log").read_text()

    # A Slurm that is installed here is not asked.
    for name, text in (("submit", SUBMIT), ("sinfo", "#!/bin/sh\n"), ("squeue", "#!/bin/sh\n")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    workspace.variables = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    asks = f"{tmp_path / 'bin' / 'submit'} {{rule}} {{threads}} {{resources.gpu}} {{resources.mem_mb}}"
    cluster = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", asks, "--jobs", 1)
    on_gpus = ("--workflow-profile", "none", "--config", "device=cuda")
    done = workspace.snakemake(target, *cluster, *on_gpus, study=path, cores=None, check=False)
    assert (tmp_path / "asked").exists(), done.stdout
    rule, threads, gpus, memory, *_ = (tmp_path / "asked").read_text().split()
    assert (rule, threads, gpus, memory) == ("train", "6", "2", "1400")
