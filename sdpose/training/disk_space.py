"""Is there room for what a run will write? Asked before hours are spent, and again before each file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from sdpose.training.atomic_file import StorageError

_OVERHEAD_BYTES = 1 << 20  # names, config text, log header, file system blocks
_TEXT_BYTES = 16 << 20  # logs, results and pictures of a whole run


def estimated_checkpoint_bytes(model: nn.Module, optimizer: Optimizer | None) -> int:
    """Size of one checkpoint file, before the optimizer has any state."""
    total = sum(_bytes(tensor) for tensor in model.state_dict().values())
    if optimizer is not None:
        for group in optimizer.param_groups:
            moments = _num_moments(optimizer, group)
            total += moments * sum(_bytes(p) for p in group["params"] if p.requires_grad)
    return total + _OVERHEAD_BYTES


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write to the disk where `folder` is or will be (other ranks make none)."""
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    return shutil.disk_usage(there).free


def require_room_for_run(
    folder: Path,
    *,
    checkpoint_bytes: int,
    num_checkpoints: int,
    existing_bytes: int = 0,
    max_keep_ckpts: int = -1,
) -> None:
    """Raise StorageError when `num_checkpoints` files do not fit.

    `existing_bytes` are files of an earlier part of the run, which count among them.
    """
    # At least one more must fit whatever exists: a new file is complete before an old one goes.
    needed = max(num_checkpoints * checkpoint_bytes - existing_bytes, checkpoint_bytes) + _TEXT_BYTES
    free = free_bytes(folder)
    if free < needed:
        fewer = min(max_keep_ckpts - 1, 3) if max_keep_ckpts > 0 else 3
        cures = ["free space", *([f"keep fewer (checkpoint_config.max_keep_ckpts={fewer})"] if fewer else [])]
        raise StorageError(
            f"the disk of {folder} has {shown_bytes(free)} free, this run will write {shown_bytes(needed)} "
            f"({num_checkpoints} checkpoints of {shown_bytes(checkpoint_bytes)}): {', '.join(cures)}, "
            "or choose another disk with --work-dir"
        )


def require_room_for_file(path: Path, num_bytes: int) -> None:
    """Raise StorageError when a file of this size does not fit beside what is there."""
    free = free_bytes(path.parent)
    if free < num_bytes:
        raise StorageError(
            f"no room for {path}: it needs {shown_bytes(num_bytes)}, the disk has {shown_bytes(free)} "
            f"free; files "
            "already there are untouched; free space, then go on with --resume-from auto"
        )


def shown_bytes(num_bytes: int) -> str:
    """`82.3 MB`, as disks count: 1 MB is a million bytes."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _num_moments(optimizer: Optimizer, group: dict[str, Any]) -> int:
    if isinstance(optimizer, SGD):
        return 1 if group.get("momentum") else 0
    return 3 if group.get("amsgrad") else 2


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
