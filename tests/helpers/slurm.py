"""A real SLURM of one node, started in a folder and stopped again; it needs root, and Debian's slurm-wlm and munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch")
HAS_SLURM = all(map(shutil.which, PROGRAMS)) and os.geteuid() == 0
_CONFIG = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
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
ReturnToService=2
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=16000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def one_node(folder: Path, cores: int = 2) -> Iterator[dict[str, str]]:
    """Run a cluster; yields the environment in which ``sbatch`` and ``squeue`` find it."""
    folder.mkdir()
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(_CONFIG.format(folder=folder, ports=ports, host=host, cores=cores))
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    key = folder / "munge.key"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munge.log", "seed-file": folder / "munge.seed"}
    munge = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]
    with ExitStack() as stack:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            stack.callback(server.wait, 60)
            stack.callback(server.terminate)
            if command is munge:
                _wait(lambda: (folder / "munge.socket").exists())
        _wait(lambda: "idle" in _said(["sinfo", "--noheader", "--format=%t"], environment))
        yield environment


def _said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait(done: Callable[[], bool]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + 60
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("SLURM did not start in a minute.")
        time.sleep(0.2)
