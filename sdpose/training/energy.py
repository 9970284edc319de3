"""Energy that a run used, from the counters that its machine has. What has no counter is unknown, never guessed.

NVIDIA GPUs count by themselves (NVML, since Volta), processor packages as well (RAPL, Linux; mostly for root only). A
package's counter covers everything that runs on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sdpose.training.distributed import World

POWERCAP = Path("/sys/class/powercap")
# No package draws more for long; a counter that may have gone round twice since its last reading tells nothing.
MOST_WATTS = 500.0
# Shorter than the time in which any package's counter goes round.
READ_EVERY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Counter:
    """Something that adds up joules."""

    name: str
    read_j: Callable[[], float]
    """Joules since some moment in the past. Raises OSError when it cannot be read any more."""
    range_j: float | None = None
    """Where it begins again at zero; None: never."""


@dataclass(frozen=True)
class Counters:
    """The counters that this process reads, and what cannot be counted."""

    found: tuple[Counter, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In a line, as at the head of a log."""
        return _text([counter.name for counter in self.found], self.unknown)


def _text(names: Sequence[str], unknown: Sequence[str]) -> str:
    counted = ", ".join(dict.fromkeys(names)) or "none"
    return f"{counted} ({'; '.join(dict.fromkeys(unknown))})" if unknown else counted


@dataclass(kw_only=True)
class Energy:
    """What was counted so far, over all sessions of a run."""

    joules: float = 0.0
    images: int = 0
    """Trained on while it was counted."""
    is_partial: bool = False
    """Some of the run was not counted: `joules` is the least that it took."""

    def values(self) -> dict[str, float]:
        """As a record and the JSON log hold it."""
        partial = {"energy_partial": 1.0} if self.is_partial else {}
        return {"energy_j": self.joules, "energy_images": float(self.images), **partial}


class EnergyMeter:
    """Sums over the counters of all processes. Reading costs some microseconds and waits for no device."""

    def __init__(
        self, counters: Counters, world: World | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.energy = Energy()
        self._counters = counters.found
        self._world = world or World()
        self._clock = clock
        self._own_j = 0.0
        self._own_gap = False
        self._last: dict[str, tuple[float, float]] = {}
        shares = self._world.gather_objects(([counter.name for counter in self._counters], counters.unknown))
        names = [name for own, _ in shares for name in own]
        self.text = _text(names, [why for _, own in shares for why in own])
        """What the counters of all processes are, for the head of the log."""
        # All processes ask each other, or none does.
        self.counts = bool(names)

    def start(self, saved: Mapping[str, Any] | None, *, resumed: bool) -> None:
        """Begin to count. `saved`: what `state_dict` gave to the checkpoint that a resumed run goes on from."""
        if saved is not None:
            self.energy = Energy(**saved)
        if resumed and (saved is None or not self.counts):
            self.energy.is_partial = True
        self._read()
        self._own_j = 0.0

    def tick(self) -> None:
        """Often: reads when the last reading is so old that a counter might go round."""
        if self._last and self._clock() - max(at for _, at in self._last.values()) > READ_EVERY_S:
            self._read()

    def update(self, num_images: int) -> dict[str, float]:
        """All that was counted, with the images of all processes since the last call; empty where nothing counts.

        Every process must call it.
        """
        if not self.counts:
            return {}
        self._read()
        shares = self._world.gather_objects((self._own_j, self._own_gap, num_images))
        self._own_j, self._own_gap = 0.0, False
        self.energy.joules += sum(joules for joules, _, _ in shares)
        self.energy.images += sum(images for _, _, images in shares)
        self.energy.is_partial |= any(gap for _, gap, _ in shares)
        return self.energy.values()

    def state_dict(self) -> dict[str, Any] | None:
        """For a checkpoint; None where nothing was ever counted."""
        energy = self.energy
        if not self.counts and not energy.joules:
            return None
        return {"joules": energy.joules, "images": energy.images, "is_partial": energy.is_partial}

    def _read(self) -> None:
        for counter in self._counters:
            now = self._clock()
            before = self._last.pop(counter.name, None)
            try:
                value = counter.read_j()
            except OSError:
                self._own_gap = True
                continue
            self._last[counter.name] = (value, now)
            if before is None:
                continue
            used = _between(before[0], value, counter.range_j, elapsed_s=now - before[1])
            self._own_gap |= used is None
            self._own_j += used or 0.0


def _between(before: float, value: float, range_j: float | None, *, elapsed_s: float) -> float | None:
    """Joules from one reading to the next; None where that is not certain."""
    if range_j is None:
        return value - before if value >= before else None
    if elapsed_s * MOST_WATTS >= range_j:
        return None
    return (value - before) % range_j


def find_counters(device: torch.device, *, local_rank: int = 0) -> Counters:
    """Those of this process: its GPU's and, for the first process of a machine, the processors'."""
    found: list[Counter] = []
    unknown: list[str] = []
    if device.type == "cuda":
        gpu = nvidia_counter(str(torch.cuda.get_device_properties(device).uuid), name=f"GPU {local_rank}")
        found += [gpu] if isinstance(gpu, Counter) else []
        unknown += [gpu] if isinstance(gpu, str) else []
    if local_rank == 0:
        packages = package_counters(POWERCAP)
        found += packages.found
        unknown += packages.unknown
    return Counters(tuple(found), tuple(unknown))


def package_counters(powercap: Path) -> Counters:
    """One a processor package. Its parts (`intel-rapl:0:0`) are in it, and `psys` has it in itself."""
    found: list[Counter] = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text(encoding="ascii").strip()
            if not name.startswith("package") or folder.name.count(":") != 1:
                continue
            range_j = int((folder / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            counter = Counter(name=f"CPU {name}", read_j=_file_reader(folder / "energy_uj"), range_j=range_j)
            counter.read_j()
        except PermissionError as error:
            return Counters(unknown=(f"CPU: {error.filename} may be read by root only",))
        except (OSError, ValueError) as error:
            return Counters(unknown=(f"CPU: {folder} cannot be read: {error}",))
        found.append(counter)
    return Counters(tuple(found)) if found else Counters(unknown=("CPU: no counter (RAPL) here",))


def _file_reader(path: Path) -> Callable[[], float]:
    return lambda: int(path.read_text(encoding="ascii")) / 1e6


def nvidia_counter(uuid: str, *, name: str, library: Any = None) -> Counter | str:
    """Of the GPU with this UUID (as torch gives it, with or without `GPU-`), or why there is none.

    `library` stands in for the module `pynvml`.
    """
    nvml = library
    if nvml is None:
        try:
            import pynvml

            nvml = pynvml
        except ModuleNotFoundError:
            return f"{name}: needs pip install 'sdpose[energy]'"
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        return f"{name}: {error}"

    def read_j() -> float:
        try:
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except nvml.NVMLError as error:
            raise OSError(str(error)) from error

    return Counter(name=name, read_j=read_j)
