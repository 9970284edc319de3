"""What the programs that start many processes tell each of them, in torchrun's words."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping

from sdpose.errors import SdposeError, nearest

LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def process_variables(launcher: str | None, environment: Mapping[str, str]) -> Mapping[str, str] | None:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT as this launcher gives them; None when alone.

    `launcher` is one of `LAUNCHERS`, or None to take torchrun's variables when they are there.
    """
    from_torchrun = "RANK" in environment and "WORLD_SIZE" in environment
    if launcher is None:
        return environment if from_torchrun else None
    if launcher == "none":
        if from_torchrun and environment["WORLD_SIZE"] != "1":
            raise SdposeError(
                f"{environment['WORLD_SIZE']} processes were started but --launcher is none, so each would "
                "train the same run; use --launcher pytorch or start one process"
            )
        return None
    if launcher == "pytorch":
        return environment
    if launcher == "slurm":
        return _from_slurm(environment)
    if launcher == "mpi":
        return _from_mpi(environment)
    raise SdposeError(
        f"--launcher is '{launcher}', known are {', '.join(LAUNCHERS)}.{nearest(launcher, LAUNCHERS)}"
    )


def _from_slurm(environment: Mapping[str, str]) -> Mapping[str, str]:
    variables = {
        "RANK": _present(environment, "SLURM_PROCID", "slurm", "srun"),
        "WORLD_SIZE": _present(environment, "SLURM_NTASKS", "slurm", "srun"),
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
        "MASTER_PORT": environment.get("MASTER_PORT", "29500"),
    }
    variables["MASTER_ADDR"] = environment.get("MASTER_ADDR") or first_slurm_host(
        _present(environment, "SLURM_NODELIST", "slurm", "srun")
    )
    return variables


def _from_mpi(environment: Mapping[str, str]) -> Mapping[str, str]:
    size = _present(environment, "OMPI_COMM_WORLD_SIZE", "mpi", "mpirun")
    if "MASTER_ADDR" not in environment and environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", size) != size:
        raise SdposeError(
            "--launcher mpi over several machines needs MASTER_ADDR (the first machine); export it"
        )
    return {
        "RANK": _present(environment, "OMPI_COMM_WORLD_RANK", "mpi", "mpirun"),
        "WORLD_SIZE": size,
        "LOCAL_RANK": environment.get("OMPI_COMM_WORLD_LOCAL_RANK", "0"),
        "MASTER_ADDR": environment.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": environment.get("MASTER_PORT", "29500"),
    }


def first_slurm_host(node_list: str) -> str:
    """First machine of a Slurm node list such as `gpu[03-05,9],login1`."""
    if shutil.which("scontrol"):
        shown = subprocess.run(
            ["scontrol", "show", "hostnames", node_list], capture_output=True, text=True, check=False
        )
        if shown.returncode == 0 and shown.stdout.strip():
            return shown.stdout.split()[0]
    ranged = re.match(r"([^\[,]*)\[([^\]\-,]+)[^\]]*\]([^,]*)", node_list)
    return "".join(ranged.groups()) if ranged else node_list.split(",")[0]


def _present(environment: Mapping[str, str], name: str, launcher: str, starter: str) -> str:
    if name not in environment:
        raise SdposeError(
            f"--launcher {launcher} needs the variable {name}; start the program with {starter}"
        )
    return environment[name]


def process_number(variables: Mapping[str, str], name: str) -> int:
    """One of the numbers in `process_variables`."""
    if name not in variables:
        raise SdposeError(
            f"--launcher pytorch needs the variable {name}; start with torchrun (tools/dist_train.sh)"
        )
    try:
        return int(variables[name])
    except ValueError:
        raise SdposeError(
            f"the variable {name} is '{variables[name]}'; a launcher sets it to a number"
        ) from None
