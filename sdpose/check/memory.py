"""The largest batch that fits: tried on a GPU, reckoned from the free memory on a CPU."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from sdpose.assemble.machine import is_out_of_memory
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.check.time_box import TimeBox
from sdpose.check.trainee import Trainee, random_batch
from sdpose.training.disk_space import estimated_checkpoint_bytes, shown_bytes

_MOST_SAMPLES = 4096
# Batch sizes differ in cuDNN's workspace, and other work may want the GPU too.
_ADVISED_SHARE = 0.9
# What a step holds besides the activations kept for the backward pass, measured as resident memory: 1.3 to 1.5 times.
_TEMPORARIES = 1.5
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """One line: what fits, beside what the config asks for."""
    wanted = preflight.settings.data.train_samples_per_gpu
    if preflight.on_gpu:
        box = preflight.time_box()
        preflight.show("looking for the largest batch", 0, 1)
        largest, cut_short = largest_batch(_real_step(preflight), wanted, box)
        yield gpu_line(wanted, largest, cut_short)
    else:
        yield _cpu_line(preflight, wanted)


def largest_batch(fits: Callable[[int], bool], start: int, box: TimeBox) -> tuple[int, bool]:
    """The largest batch size that fits, and whether the time ended the search before it was known.

    From `start` on, doubled while it fits and halved while it does not, then searched between the two bounds until they
    are within a sixteenth of each other. 0 when not even a single sample fits.
    """
    low, high, size = 0, _MOST_SAMPLES + 1, start
    longest_s = 0.0
    while high - low > max(1, low // 16) and low < _MOST_SAMPLES:
        if not box.has(longest_s):
            return low, True
        before = box.elapsed_s
        if fits(size):
            low = size
        else:
            high = size
        longest_s = max(longest_s, box.elapsed_s - before)
        if high > _MOST_SAMPLES:
            size = min(2 * low, _MOST_SAMPLES)
        elif low == 0:
            size = max(high // 2, 1)
            if high == 1:
                break
        else:
            size = (low + high) // 2
    return low, False


def gpu_line(wanted: int, largest: int, cut_short: bool) -> CheckLine:
    """What was found on a GPU beside what the config wants."""
    measured = {"largest_batch": largest, "config_batch": wanted}
    rest = "; the time box ended the search, so it may be more" if cut_short else ""
    if largest == 0:
        text = f"not even one sample fits{rest}"
        cure = "another process may use the GPU (nvidia-smi); otherwise choose a smaller variant"
        return CheckLine("memory", "warn" if cut_short else "fail", text, cure, measured)
    text = f"the largest batch that fits is {largest}, the config asks for {wanted}{rest}"
    advised = max(1, int(largest * _ADVISED_SHARE))
    if wanted > largest:
        return CheckLine("memory", "fail", text, f"data.samples_per_gpu={advised}", measured)
    if wanted > advised and largest < _MOST_SAMPLES:
        return CheckLine(
            "memory", "warn", text, f"little is left: data.samples_per_gpu={advised} is safe", measured
        )
    return CheckLine("memory", "pass", f"{text}; up to {advised} is safe", measured=measured)


def _real_step(preflight: Preflight) -> Callable[[int], bool]:
    """Whether two training steps with so many samples go through; the second has the optimizer's moments."""
    trainee = preflight.trainee()
    # What earlier questions left to torch's allocator counts as free here.
    gc.collect()
    torch.cuda.empty_cache()

    def fits(size: int) -> bool:
        batch = None
        try:
            batch = random_batch(preflight.settings, size)
            for _ in range(2):
                trainee.step(batch)
            torch.cuda.synchronize(preflight.machine.device)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            trainee.optimizer.zero_grad(set_to_none=True)
            del batch
            gc.collect()
            torch.cuda.empty_cache()
        return True

    return fits


def _cpu_line(preflight: Preflight, wanted: int) -> CheckLine:
    preflight.show("weighing activations", 0, 1)
    fixed, per_sample = _bytes_of_a_step(preflight)
    free = free_memory()
    largest = int(max(free - fixed, 0) / per_sample)
    needed = fixed + wanted * per_sample
    text = (
        f"reckoned, not tried: a sample needs {shown_bytes(int(per_sample))} on a CPU, so about {largest} fit into the "
        f"{shown_bytes(free)} that are free; the config's {wanted} need {shown_bytes(int(needed))}"
    )
    measured = {"largest_batch": largest, "config_batch": wanted, "bytes_per_sample": int(per_sample)}
    if wanted > largest:
        cure = f"data.samples_per_gpu={max(1, int(largest * _ADVISED_SHARE))}"
        return CheckLine("memory", "fail", text, cure, measured)
    return CheckLine("memory", "pass", text, measured=measured)


def _bytes_of_a_step(preflight: Preflight) -> tuple[float, float]:
    """What a step needs whatever the batch, and what each sample adds, in bytes."""
    trainee = preflight.trainee()
    kept = {size: _kept_bytes(preflight, trainee, size) for size in (1, 2)}
    gradients = sum(p.numel() * p.element_size() for p in trainee.model.parameters() if p.requires_grad)
    fixed = estimated_checkpoint_bytes(trainee.model, trainee.optimizer) + gradients
    return fixed, (kept[2] - kept[1]) * _TEMPORARIES


def _kept_bytes(preflight: Preflight, trainee: Trainee, size: int) -> int:
    """Bytes that autograd keeps for the backward pass of a batch, each memory counted once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in trainee.model.parameters()}
    kept: dict[int, int] = {}

    def weigh(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
        _, terms = trainee.forward(random_batch(preflight.settings, size))
    del terms
    return sum(kept.values())


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, and within a container's limit."""
    machine = _meminfo("MemAvailable")
    for limit, used in zip(_CGROUP_LIMITS, _CGROUP_USED, strict=True):
        allowed, taken = _number_in(limit), _number_in(used)
        if allowed is not None and taken is not None:
            return max(0, min(machine, allowed - taken))
    return machine


def _meminfo(key: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/meminfo has no {key}")


def _number_in(path: str) -> int | None:
    """None where there is no such file, or it says `max`."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
