"""The processes of one run: who am I, and how do we exchange what is small.

Gradients are DDP's matter; here is the rest: results of an evaluation, a stop request, logged means. Control
traffic goes over gloo and plain host memory even when gradients go over nccl, so asking the other ranks never
waits for a GPU. In a single process everything returns at once.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sdpose.errors import SdposeError, first_line
from sdpose.training.launchers import process_number, process_variables

# Rank 0 may evaluate or write a big file while the others wait for it.
_TIMEOUT = datetime.timedelta(minutes=60)
# As gloo says it.
_LOST_PEER = ("Connection closed by peer", "Connection reset by peer")


@dataclass(frozen=True)
class World:
    """The processes of this run, seen from one of them. `init_from_environment` makes it."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of this process on its machine, which is the number of its GPU."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    backend: str | None = None
    """What carries gradients: "gloo", "nccl", or None in a single process."""
    control: Any = None
    """Process group for host memory; None is the default group."""

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and talks to the user."""
        return self.rank == 0

    def broadcast_object(self, value: Any, *, source: int = 0) -> Any:
        """What `source` passed in, in every process. Any picklable object; the ranks trust each other."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=source, group=self.control)
        return box[0]

    def gather_objects(self, value: Any) -> list[Any]:
        """What every process passed in, by rank, in every process."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, value, group=self.control)
        return gathered

    def mean_over_ranks(self, tensor: Tensor) -> Tensor:
        """Mean of a tensor of equal shape over all processes, on its own device, in float32 or wider."""
        if self.size == 1:
            return tensor
        total = tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32), copy=True)
        group = self.control if total.device.type == "cpu" else None
        dist.all_reduce(total, group=group)
        return total / self.size

    def any_rank(self, flag: bool) -> bool:
        """True in every process when at least one said True."""
        if self.size == 1:
            return flag
        votes = torch.tensor([int(flag)], dtype=torch.int32)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self.control)
        return bool(votes.item())

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            # gloo's barrier works on host memory whatever the device, unlike nccl's.
            dist.barrier(group=self.control)

    def shutdown(self) -> None:
        """Leave the group. Call once, when the run is over; safe after an error."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def init_from_environment(
    launcher: str | None = None, *, backend: str | None = None, device: str | None = None
) -> World:
    """Join the processes that a launcher started; alone, a world of one.

    `launcher` is one of `launchers.LAUNCHERS`, or None to take torchrun's variables when they are there.
    `backend` None means nccl on GPUs and gloo on CPUs; `device` None takes GPUs if there are any, else "cpu".
    """
    variables = process_variables(launcher, os.environ)
    if variables is None:
        return World(device=_device(device, local_rank=0))
    os.environ.update(dict(variables))
    rank, size, local_rank = (
        process_number(variables, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    )
    chosen = _device(device, local_rank)
    if size == 1:
        return World(local_rank=local_rank, device=chosen)
    backend = backend or ("nccl" if chosen.type == "cuda" else "gloo")
    if backend == "nccl" and chosen.type != "cuda":
        raise SdposeError("backend nccl needs GPUs, this machine shows none; use gloo")
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    try:
        dist.init_process_group(backend, rank=rank, world_size=size, timeout=_TIMEOUT)
        control = None if backend == "gloo" else dist.new_group(backend="gloo", timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise SdposeError(
            f"process {rank} of {size} could not join the others at {address}: {first_line(error)}; "
            "if the port is taken, set another one (PORT=29501)"
        ) from error
    return World(rank, size, local_rank, chosen, backend, control)


def is_lost_peer(error: BaseException) -> bool:
    """Whether this says that another process of the run is gone: what it died of stands in its own lines."""
    if isinstance(error, dist.DistBackendError | dist.DistNetworkError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(words in said for words in _LOST_PEER)


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, without DDP's and torch.compile's wrappers."""
    inner: Any = model
    while isinstance(inner, nn.parallel.DistributedDataParallel) or hasattr(inner, "_orig_mod"):
        inner = getattr(inner, "_orig_mod", None) or inner.module
    return inner


def require_gpu(device: object) -> None:
    """Raise SdposeError where `device` was asked for and torch sees no GPU."""
    if not torch.cuda.is_available():
        raise SdposeError(
            f"device {device} was asked for, but torch sees no GPU; use cpu or install a CUDA build of torch"
        )


def _device(name: str | None, local_rank: int) -> torch.device:
    if name not in (None, "cpu", "cuda"):
        raise SdposeError(f"device is '{name}', known are cpu and cuda")
    if name == "cuda":
        require_gpu(name)
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise SdposeError(
            f"this is process {local_rank + 1} of a machine that shows {count} GPU(s); start at most {count}"
        )
    return torch.device("cuda", local_rank)
