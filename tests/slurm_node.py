"""A real Slurm on this machine, of two partitions, for the time of a test session.

It needs Debian's `slurm-wlm` and `munge` (`.ci/run` installs them) and root.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
SYSTEM_CONF = Path("/etc/slurm/slurm.conf")
"""Jobs of Snakemake drop all variables of Slurm, `SLURM_CONF` too: this is where they look."""

CPUS, MEMORY_MB = 4, 64000
"""What the node says it has; Slurm plans with it and is told to believe it."""


class NoSlurm(Exception):
    """Why Slurm cannot run here."""


def _program(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _conf(folder, host, ports):
    """Settings of the smallest cluster: one node, no accounting, memory counted, not enforced."""
    return f"""
ClusterName=hemexp
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MinJobAge=600
MailProg=/bin/true
GresTypes=gpu
NodeName={host} CPUs={CPUS} RealMemory={MEMORY_MB} Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=gpu Nodes=ALL MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def _free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _write_settings(folder):
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(_conf(folder, host, _free_ports(2)))
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)


def _commands(folder):
    conf = ["-f", str(folder / "slurm.conf")]
    return {
        "munged": [
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        ],
        "slurmctld": ["-D", "-c", *conf],
        "slurmd": ["-D", *conf],
    }


def _wait(until, what, folder, seconds=30):
    for _ in range(seconds * 10):
        if until():
            return
        time.sleep(0.1)
    logs = "\n".join(f"{path.name}: {path.read_text()[-600:]}" for path in folder.glob("*.log"))
    raise NoSlurm(f"{what} within {seconds} s\n{logs}")


@contextmanager
def running(folder: Path):
    """Starts munge and Slurm below a folder, and stops them at the end.

    Raises:
        NoSlurm: It is not installed, there is no root, or it does not come up.
    """
    missing = [name for name in PROGRAMS if not _program(name)]
    if missing:
        raise NoSlurm(f"not installed: {', '.join(missing)} (apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        raise NoSlurm("munged, slurmctld and slurmd need root")
    if os.path.lexists(SYSTEM_CONF):
        raise NoSlurm(f"{SYSTEM_CONF} is there: a Slurm of this machine, or left by a killed test")
    _write_settings(folder)
    SYSTEM_CONF.parent.mkdir(exist_ok=True)
    SYSTEM_CONF.symlink_to(folder / "slurm.conf")
    started = []
    try:
        for name, arguments in _commands(folder).items():
            with (folder / f"{name}.out").open("w") as out:
                started.append(
                    subprocess.Popen([_program(name), *arguments], stdout=out, stderr=out)
                )
            if name == "munged":
                _wait((folder / "munge.socket").exists, "munged made no socket", folder)
        _wait(lambda: "idle" in ask("sinfo", "-h", "-o", "%T"), "the node is not idle", folder)
        yield
        ask("scancel", "--user", "root")
        _wait(lambda: not ask("squeue", "-h"), "jobs do not end", folder)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
        SYSTEM_CONF.unlink()


def ask(program, *arguments):
    """What one of Slurm's programs says."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    return done.stdout
