"""A SLURM cluster of one node on this machine: the real daemons and commands, their state in a folder of the test."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
JobRequeue=1
KillWait=30
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 CoresPerSocket=8 RealMemory=1000 Gres=gpu:4 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why no cluster is started here; empty where one is."""
    if not os.environ.get("CFD2GRAY_CLUSTER"):
        return "takes minutes and starts daemons: make test-cluster"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"{', '.join(absent)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "slurmd starts jobs as root only"


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Cluster:
    """Commands of a running cluster."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}

    def call(self, *command: str, cwd: pathlib.Path | None = None) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd=cwd, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def facts(self, job: str) -> dict[str, str]:
        """What ``scontrol`` knows of a job."""
        words = self.call("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, states: Sequence[str], seconds: float) -> dict[str, str]:
        """Until a job is in one of ``states``. A job that was queued again need not wait its two minutes."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            facts = self.facts(job)
            if facts["JobState"] in states:
                return facts
            if facts["JobState"] == "PENDING" and facts["Reason"] == "BeginTime":
                time.sleep(2)  # slurmd takes no credential of the second in which it revoked the one before
                self.call("scontrol", "update", f"JobId={job}", "StartTime=now")
            time.sleep(0.5)
        raise AssertionError(f"job {job} is {self.facts(job)['JobState']} after {seconds} s, not {states}")


@contextlib.contextmanager
def cluster(folder: pathlib.Path) -> Iterator[Cluster]:
    """Start the daemons, wait until the node is idle, and end them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(CONF.format(folder=folder, host=host, ports=_free_ports(2)))
    for number in range(4):
        (folder / f"gpu{number}").touch()  # stands for a device
    (folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-3]\n")
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    places = {"key-file": key} | {f"{n}-file": folder / f"munge.{n}" for n in ("pid", "log", "seed")}
    daemons = [
        [
            "munged",
            "--foreground",
            "--force",
            f"--socket={folder}/munge.socket",
            *(f"--{k}={v}" for k, v in places.items()),
        ],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", host],
    ]
    found = Cluster(folder)
    with contextlib.ExitStack() as stack:
        for command in daemons:
            log = stack.enter_context(open(folder / f"{command[0]}.out", "w"))
            child = subprocess.Popen(command, env=found.environment, stdout=log, stderr=log)
            stack.callback(_end, child)
            time.sleep(1)
        until = time.monotonic() + 60
        while (
            "idle"
            not in subprocess.run(
                ["sinfo", "-h", "-o", "%T"], env=found.environment, capture_output=True, text=True
            ).stdout
        ):
            assert time.monotonic() < until, (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.5)
        try:
            yield found
        finally:  # what still runs ends before its daemons do
            subprocess.run(["scancel", "--full", "--user", "root"], env=found.environment)
            until = time.monotonic() + 60
            while time.monotonic() < until and found.call("squeue", "-h"):
                time.sleep(0.5)


def _end(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for own in sockets:
            own.bind(("127.0.0.1", 0))
        return [own.getsockname()[1] for own in sockets]
