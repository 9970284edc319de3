"""Launchers' variables, and what two processes tell each other."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import warm_python
from torch import nn

from sdpose.errors import SdposeError
from sdpose.training.distributed import World, init_from_environment, unwrap
from sdpose.training.launchers import first_slurm_host, process_variables

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


def test_alone_everything_returns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    world = init_from_environment(device="cpu")
    assert world == World(0, 1, 0, torch.device("cpu"), None, None)
    assert world.is_main
    assert world.gather_objects({"a": 1}) == [{"a": 1}]
    assert world.broadcast_object("x") == "x"
    assert world.mean_over_ranks(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    assert (world.any_rank(True), world.any_rank(False)) == (True, False)
    world.barrier()
    world.shutdown()


PROGRAM = """
import os
import torch
from sdpose.training.distributed import init_from_environment, unwrap
child = os.fork()
os.environ.update(RANK=str(int(child == 0)), LOCAL_RANK=str(int(child == 0)), WORLD_SIZE="2")
world = init_from_environment("pytorch", device="cpu")
try:
    assert (world.rank, world.size, world.backend, world.is_main) == (int(child == 0), 2, "gloo", child != 0)
    assert world.gather_objects({"rank": world.rank}) == [{"rank": 0}, {"rank": 1}]
    assert world.broadcast_object(["from", world.rank]) == ["from", 0]
    assert world.broadcast_object(world.rank, source=1) == 1
    mean = world.mean_over_ranks(torch.tensor([1.0 + world.rank, 10.0], dtype=torch.bfloat16))
    assert mean.tolist() == [1.5, 10.0] and mean.dtype == torch.float32
    kept = torch.tensor([float(world.rank)])
    world.mean_over_ranks(kept)
    assert kept.item() == world.rank
    assert world.any_rank(world.rank == 1) is True
    assert world.any_rank(False) is False
    model = torch.nn.Linear(2, 2)
    assert unwrap(torch.nn.parallel.DistributedDataParallel(model)) is model
    world.barrier()
except BaseException:
    import traceback
    traceback.print_exc()
    os._exit(1)
world.shutdown()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("both done")
"""


def test_two_processes_agree() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    done = warm_python.run([sys.executable, "-c", PROGRAM], cwd=Path.cwd(), env=environment, timeout=120)
    assert (done.returncode, done.stdout) == (0, "both done\n"), done.stderr


@pytest.mark.parametrize("launcher", [None, "pytorch"])
def test_torchruns_variables_are_taken_as_they_are(launcher: str | None) -> None:
    assert process_variables(launcher, TORCHRUN) == TORCHRUN


@pytest.mark.parametrize("launcher", [None, "none"])
def test_without_a_launcher_there_is_one_process(launcher: str | None) -> None:
    assert process_variables(launcher, {}) is None


def test_slurm_is_translated() -> None:
    slurm = {
        "SLURM_PROCID": "5",
        "SLURM_NTASKS": "8",
        "SLURM_LOCALID": "1",
        "SLURM_NODELIST": "gpu[03-05,9],login1",
    }
    assert process_variables("slurm", slurm) == {
        "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_PORT": "29500", "MASTER_ADDR": "gpu03",
    }  # fmt: skip
    given = process_variables("slurm", {**slurm, "MASTER_ADDR": "head", "MASTER_PORT": "7"})
    assert given is not None
    assert (given["MASTER_ADDR"], given["MASTER_PORT"]) == ("head", "7")


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n1,n2", "n1"),
        ("gpu[03-05]", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("a[1-2]-ib,b", "a1-ib"),
        ("x,gpu[1-2]", "x"),
    ],
)
def test_the_first_machine_of_a_node_list(nodes: str, first: str) -> None:
    assert first_slurm_host(nodes) == first


def test_mpi_is_translated() -> None:
    mpi = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    assert process_variables("mpi", mpi) == {
        "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500",
    }  # fmt: skip
    with pytest.raises(SdposeError, match="needs MASTER_ADDR"):
        process_variables("mpi", {**mpi, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"})


@pytest.mark.parametrize(
    ("launcher", "environment", "told"),
    [
        ("torchrun", {}, "--launcher is 'torchrun', known are none, pytorch, slurm, mpi"),
        ("none", TORCHRUN, "2 processes were started but --launcher is none"),
        ("slurm", {}, "needs the variable SLURM_PROCID; start the program with srun"),
        ("mpi", {}, "needs the variable OMPI_COMM_WORLD_SIZE; start the program with mpirun"),
    ],
)
def test_a_launcher_that_did_not_launch_is_named(
    launcher: str, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(SdposeError) as caught:
        process_variables(launcher, environment)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"RANK": None}, "needs the variable RANK; start with torchrun"),
        ({"LOCAL_RANK": "first"}, "LOCAL_RANK is 'first'"),
    ],
)
def test_variables_that_are_missing_or_no_number(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], told: str
) -> None:
    for name, value in {**TORCHRUN, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(SdposeError, match=told):
        init_from_environment("pytorch", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SdposeError, match="torch sees no GPU"):
        init_from_environment(device="cuda")
    with pytest.raises(SdposeError, match="device is 'tpu', known are cpu and cuda"):
        init_from_environment(device="tpu")
    for name, value in {**TORCHRUN, "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SdposeError, match="backend nccl needs GPUs"):
        init_from_environment("pytorch", backend="nccl")


def test_unwrapping_what_is_not_wrapped_gives_it_back() -> None:
    model = nn.Linear(1, 1)
    assert unwrap(model) is model
    assert unwrap(torch.compile(model, backend="eager")) is model
