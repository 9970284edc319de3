"""What the machine shows once a logging interval: memory, disk, and whether the processes agree."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from sdpose.training.disk_space import free_bytes

_STATM = Path("/proc/self/statm")


def machine_signs(checkpoint_dir: Path) -> dict[str, float]:
    """`host_memory`, what this process holds, and `disk_free_mib` where checkpoints go; both in MiB."""
    return {"host_memory": resident_bytes() / 2**20, "disk_free_mib": free_bytes(checkpoint_dir) / 2**20}


def resident_bytes() -> int:
    """Memory that this process holds now; its peak where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def rank_spread(loss_per_rank: Sequence[float]) -> float:
    """Largest minus smallest mean loss of the processes, as a fraction of their mean; 0 when all are zero."""
    mean = math.fsum(loss_per_rank) / len(loss_per_rank)
    spread = max(loss_per_rank) - min(loss_per_rank)
    if not math.isfinite(mean) or not math.isfinite(spread):
        return math.nan
    return spread / abs(mean) if mean else 0.0
