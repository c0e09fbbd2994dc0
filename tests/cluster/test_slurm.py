"""The cluster profiles on a real Slurm: the bytes of a local run, and jobs that come back after what befalls jobs there."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.slurm import Slurm, missing_packages, write_configuration
from snakemake_runs import REPOSITORY, SMALL, Workspace

pytestmark = pytest.mark.xdist_group("slurm")
LONG = pytest.mark.long(sample=1)

PROFILES = REPOSITORY / "profiles"
# The profile itself, but looking for finished jobs more often than a cluster's users should.
ON_SLURM = ("--workflow-profile", PROFILES / "slurm", "--slurm-init-seconds-before-status-checks", 1)

HOG = """
rule hog:
    output: "hog.txt"
    log: "hog.log"
    resources: mem_mb=lambda wildcards, attempt: 450 * attempt, runtime=lambda wildcards, attempt: 5 * attempt
    shell:
        # A first line in the log: Snakemake shows no log after one that is empty.
        "echo Begin > {log}; exec python -c 'import time; x = bytes([1]) * (500 << 20); time.sleep(4)' > {output} 2>> {log}"
"""


@pytest.fixture
def workspace(slurm: Slurm, tmp_path: Path) -> Workspace:
    """An empty folder whose Snakemake finds the Slurm."""
    return Workspace(tmp_path, variables=slurm.environment())


def eventually(find: Callable[[], Any], timeout: float = 90) -> Any:
    """What ``find`` returns once that is something."""
    end = time.monotonic() + timeout
    while not (found := find()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return found


def training_process(folder: Path) -> psutil.Process | None:
    """A training job that runs in that folder."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if (
            command[1:4] == ["-m", "grokforget", "run"]
            and "/train/" in command[4]
            and process.info["cwd"] == str(folder)
        ):
            return process
    return None


@LONG
@pytest.mark.parametrize("profile", ["slurm", "cluster-generic"])
def test_a_study_gives_the_bytes_of_a_local_run(profile: str, workspace: Workspace, small: Workspace) -> None:
    quick = ON_SLURM[2:] if profile == "slurm" else ("--seconds-between-status-checks", 1)
    workspace.snakemake("--workflow-profile", PROFILES / profile, *quick, study=SMALL, cores=None)
    assert workspace.tables("small") == small.tables("small")


AGAIN = ("COMPLETED", "2468M", "14:00")


@LONG
@pytest.mark.parametrize(
    ("event", "allowed"),
    [
        # Submitted again by Snakemake, with more memory and time.
        ("cancelled", [[("CANCELLED", "1234M", "7:00"), AGAIN]]),
        # To make room for a job that needs the whole node. A job that has saved and ended within its grace is submitted again
        # by Snakemake; one that was too slow for that goes back to Slurm's queue as it was.
        ("preempted", [[("FAILED", "1234M", "7:00"), AGAIN], [("COMPLETED", "1234M", "7:00")]]),
    ],
)
def test_a_training_job_stopped_in_the_middle_goes_on_from_there(
    event: str,
    allowed: list[list[tuple[str, str, str]]],
    slurm: Slurm,
    workspace: Workspace,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    study = workspace.folder / "study.yaml"
    text = SMALL.read_text().replace("steps: 1000", "steps: 20000").replace("_steps: 500", "_steps: 20000")
    asked = "    resources: {memory_mb: 1234, minutes: 7}\n    selection: {"
    study.write_text(text.replace("    selection: {", asked))
    run = Path("results/small/train/modular-mlp/seed0/full/segment001")
    command = workspace.command(*ON_SLURM, run / "state.safetensors", study=study, cores=None)
    known = {job["id"] for job in slurm.jobs()}
    with (workspace.folder / "output").open("w") as output:
        running = subprocess.Popen(
            command, cwd=workspace.folder, env=workspace.environment(), stdout=output, stderr=output
        )
    try:
        process = eventually(lambda: training_process(workspace.folder))
        # Imports take one or two seconds of the processor, all steps ten or more.
        eventually(lambda: not process.is_running() or process.cpu_times().user > 5)
        assert process.is_running(), "the run was too short to be stopped"
        (job,) = (each for each in slurm.jobs() if "rule_train" in each["comment"] and each["id"] not in known)
        if event == "cancelled":
            slurm.run("scancel", job["id"])
        else:
            whole_node = ("--partition=urgent", "--cpus-per-task=2", "--mem=100", "--output=/dev/null")
            slurm.run("sbatch", *whole_node, "--wrap", "sleep 3")
        eventually(lambda: not process.is_running())
        running.wait(timeout=240)
    finally:
        running.kill()
    text = (workspace.folder / "output").read_text()
    assert running.returncode == 0, text
    jobs = [each for each in slurm.jobs() if "rule_train" in each["comment"] and each["id"] not in known]
    assert [(each["state"], each["memory"], each["time_limit"]) for each in jobs] in allowed
    log = (workspace.folder / "results/small/logs/train/modular-mlp/seed0/full/segment001.log").read_text()
    resumed = re.search(r"going on from step (\d+), where this segment was interrupted", log)
    assert resumed, log
    assert 0 < int(resumed[1]) < 20000
    undisturbed = Workspace(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.snakemake(run / "state.safetensors", study=study)
    for name in ("state.safetensors", "snapshots.safetensors", "curve.parquet"):
        assert (workspace.folder / run / name).read_bytes() == (undisturbed.folder / run / name).read_bytes(), name


def test_a_scheduler_that_does_not_answer_is_named_before_anything_is_submitted(tmp_path: Path) -> None:
    if missing_packages():
        pytest.skip(missing_packages())
    folder = tmp_path / "slurm"
    folder.mkdir()
    write_configuration(folder, cpus=1, memory_mb=1000, kill_wait=5, message_timeout=2)
    workspace = Workspace(tmp_path, variables=Slurm(folder, 5).environment())
    done = workspace.snakemake(*ON_SLURM, cores=None, check=False)
    assert done.returncode != 0
    assert "Nothing was started." in done.stdout
    assert "Slurm does not answer" in done.stdout
    assert "give the same command again" in done.stdout
    assert "Traceback" not in done.stdout


@LONG
def test_a_job_over_its_memory_limit_gets_more_memory_and_time(slurm: Slurm, workspace: Workspace) -> None:
    snakefile = workspace.folder / "Snakefile"
    snakefile.write_text(HOG)
    known = {job["id"] for job in slurm.jobs()}
    done = workspace.snakemake(*ON_SLURM, study=None, cores=None, snakefile=snakefile)
    assert "exceeded memory limit" in done.stdout, "the log of the killed job is shown"
    jobs = [job for job in slurm.jobs() if job["id"] not in known]
    assert [(job["state"], job["memory"], job["time_limit"]) for job in jobs] == [
        ("FAILED", "450M", "5:00"),
        ("COMPLETED", "900M", "10:00"),
    ]
