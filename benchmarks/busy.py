"""Whether the machine was quiet while something was measured."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

# Shares of the machine's time above which a measurement is not to be believed.
MOST_OTHER = 0.10
MOST_STOLEN = 0.02


@dataclass(frozen=True)
class Moment:
    """Seconds since the start of the machine, summed over its cores."""

    wall_s: float
    busy_s: float
    stolen_s: float
    ours_s: float

    @classmethod
    def now(cls) -> Moment:
        """`ours_s` counts this process and its children that have ended."""
        ours = os.times()
        user, nice, system, _, _, irq, softirq, steal = cpu_seconds()
        return cls(time.monotonic(), user + nice + system + irq + softirq, steal, sum(ours[:4]))


@dataclass(frozen=True)
class Load:
    """Shares of the machine, 0..1, between two moments."""

    other: float
    """Work of other processes."""
    stolen: float
    """What the host of a virtual machine gave to others."""

    @classmethod
    def between(cls, start: Moment, end: Moment, cores: int) -> Load:
        total = max((end.wall_s - start.wall_s) * cores, 1e-9)
        other = (end.busy_s - start.busy_s) - (end.ours_s - start.ours_s)
        return cls(max(other, 0.0) / total, (end.stolen_s - start.stolen_s) / total)

    @property
    def warning(self) -> str | None:
        """One line when the numbers are not to be believed."""
        if self.other <= MOST_OTHER and self.stolen <= MOST_STOLEN:
            return None
        return (
            f"the machine was busy: other processes had {100 * self.other:.0f} % of it, its host took "
            f"{100 * self.stolen:.0f} %; measure again when it is quiet"
        )


def busy_since(start: Moment) -> str:
    """The warning for the time from then to now; empty when the machine was quiet."""
    return Load.between(start, Moment.now(), os.cpu_count() or 1).warning or ""


def cpu_seconds() -> tuple[float, ...]:
    """user, nice, system, idle, iowait, irq, softirq, steal, since the machine started; zeros where nobody counts."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return (0.0,) * 8
    return tuple(int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in first.split()[1:9])


def cpu_name() -> str:
    """The processor's name and its widest vectors: one name stands for several machines in a cloud."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict((part.strip() for part in line.split(":", 1)) for line in reversed(lines) if ":" in line)
    flags = set(facts.get("flags", "").split())
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    return f"{facts.get('model name', platform.machine())} {widest}".strip()
