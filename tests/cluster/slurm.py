"""A real Slurm of one node for tests: munge, controller and node daemon, all below one folder, gone afterwards.

It needs Debian's packages ``slurm-wlm`` and ``munge`` (``missing_packages`` says so) and nothing else: no system manager, no
control groups, no database, no free port of a certain number and no file outside its folder, so that it neither finds nor
disturbs a Slurm which the machine has already.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# Where the daemons are installed; PATH of an ordinary user lacks it.
DAEMON_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
IS_IDLE = ("sinfo", "--noheader", "--partition=main", "--format=%T")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job that goes back to the queue waits for its credential to expire first, two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MailProg=/bin/true
PlugStackConfig={folder}/plugstack.conf
# What needs neither control groups nor a database. A step's processes are its process group: proctrack/linuxproc goes by parents
# and would lose, and never kill, a process whose shell dies of the SIGTERM that both are sent.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
# Memory is a resource that jobs are given, and one that takes more is killed: its size is looked at every second.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# A cancelled job has this many seconds between SIGTERM and SIGKILL.
KillWait={kill_wait}
# A command asks for this many seconds where nobody answers.
MessageTimeout={message_timeout}
# Seconds, all as short as they can be: tests wait for them.
SchedulerParameters=sched_interval=2,sched_min_interval=100000,batch_sched_delay=1,bf_interval=2
CompleteWait=0
MinJobAge=300
ReturnToService=2
# Jobs of the partition `urgent` take the place of others, which go back to the queue.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=1440 PriorityTier=1 GraceTime={kill_wait}
PartitionName=urgent Nodes={host} MaxTime=1440 PriorityTier=10 PreemptMode=OFF
"""

# Jobs of snakemake-executor-plugin-slurm drop the variables SLURM_* before their `srun`, SLURM_CONF among them, and `srun` would
# then look for /etc/slurm/slurm.conf. This one, which stands first in PATH, knows better.
SRUN = """#!/bin/sh
SLURM_CONF='{folder}/slurm.conf' exec '{srun}' "$@"
"""


def find(program: str) -> str | None:
    """Where a program is installed."""
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(DAEMON_FOLDERS))


def missing_packages() -> str:
    """Why no Slurm can be started here; empty where it can."""
    missing = [program for program in PROGRAMS if find(program) is None]
    return f"needs Debian's packages slurm-wlm and munge; not found: {', '.join(missing)}" if missing else ""


@dataclass
class Slurm:
    """A running Slurm."""

    folder: Path
    kill_wait: int

    def environment(self, base: dict[str, str] | None = None) -> dict[str, str]:
        """What processes need in their environment to use this Slurm."""
        env = {
            name: value for name, value in (base or os.environ).items() if not name.startswith(("SLURM_", "SBATCH_"))
        }
        env["SLURM_CONF"] = str(self.folder / "slurm.conf")
        env["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{env['PATH']}"
        return env

    def run(self, *command: object, check: bool = True) -> str:
        """Output of a Slurm command; AssertionError with what it said where ``check`` fails."""
        done = subprocess.run(
            [str(part) for part in command], env=self.environment(), capture_output=True, text=True, timeout=60
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def jobs(self) -> list[dict[str, str]]:
        """All jobs that Slurm remembers, oldest first: id, state, comment (names the rule), memory, time limit."""
        fields = {"id": "%i", "state": "%T", "comment": "%k", "memory": "%m", "time_limit": "%l"}
        lines = self.run("squeue", "--noheader", "--states=all", "--sort=i", "--format=" + "|".join(fields.values()))
        return [dict(zip(fields, line.split("|"), strict=True)) for line in lines.splitlines()]

    def logs(self) -> str:
        """What the daemons wrote, for the message of a failure."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_configuration(folder: Path, cpus: int, memory_mb: int, kill_wait: int, message_timeout: int = 10) -> None:
    """Key, configuration and `srun`, and the folders that the daemons want to find."""
    controller_port, node_port = free_ports(2)
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    configuration = CONFIGURATION.format(
        host=socket.gethostname().split(".")[0],
        user=pwd.getpwuid(os.geteuid()).pw_name,
        folder=folder,
        controller_port=controller_port,
        node_port=node_port,
        cpus=cpus,
        memory_mb=memory_mb,
        kill_wait=kill_wait,
        message_timeout=message_timeout,
    )
    (folder / "slurm.conf").write_text(configuration)
    # One GPU that is a number and nothing else: jobs ask for it and wait for it as they would for a real one.
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    (folder / "plugstack.conf").touch()
    srun = folder / "bin" / "srun"
    srun.write_text(SRUN.format(folder=folder, srun=find("srun")))
    srun.chmod(0o755)


@contextmanager
def daemon(name: str, *arguments: object, log: Path, **options: object) -> Iterator[subprocess.Popen]:
    """A daemon kept in the foreground, stopped at the end: asked first, killed if it does not listen."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(find(name)), *map(str, arguments)], stdout=output, stderr=output, start_new_session=True, **options
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(ready: Callable[[], bool], slurm: Slurm, processes: list[subprocess.Popen], timeout: float = 60) -> None:
    """Until that is so; RuntimeError with the daemons' logs where it does not come, or a daemon has ended."""
    end = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > end or any(process.poll() is not None for process in processes):
            raise RuntimeError(f"Slurm did not start.\n{slurm.logs()}")
        time.sleep(0.1)


def stop_jobs(slurm: Slurm, timeout: float = 30) -> None:
    """Cancel what is left: the processes of jobs outlive the daemons otherwise."""
    slurm.run("scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name, check=False)
    end = time.monotonic() + timeout + slurm.kill_wait
    while slurm.run("squeue", "--noheader", check=False) and time.monotonic() < end:
        time.sleep(0.2)


@contextmanager
def running_slurm(*, cpus: int = 2, memory_mb: int = 8000, kill_wait: int = 5) -> Iterator[Slurm]:
    """Start a Slurm with one node and stop it at the end; call only where ``missing_packages`` is empty."""
    # Short, for a socket's path may have 107 characters; and not below pytest's folder, which is kept.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o711)  # munge wants its socket to be within reach of everybody; the key stays its own.
    slurm = Slurm(folder, kill_wait)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        write_configuration(folder, cpus, memory_mb, kill_wait)
        munge_files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        options = [f"--{option}={folder}/munge.{ending}" for option, ending in munge_files.items()]
        processes = [stack.enter_context(daemon("munged", "--foreground", *options, log=folder / "munged.log"))]
        wait_for(lambda: (folder / "munge.socket").exists(), slurm, processes)
        for name in ("slurmctld", "slurmd"):
            # -D: in the foreground; -f: this configuration, which all others find by SLURM_CONF.
            process = daemon(name, "-D", "-f", folder / "slurm.conf", log=folder / f"{name}.log")
            processes.append(stack.enter_context(process))
        wait_for(lambda: slurm.run(*IS_IDLE, check=False) == "idle", slurm, processes)
        stack.callback(stop_jobs, slurm)
        yield slurm
