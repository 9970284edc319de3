"""The machine: versions, hooks, GPU, and the limits that data workers run into."""

from __future__ import annotations

import importlib
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from sdpose.assemble.machine import IMITATED_BF16
from sdpose.assemble.schedule import HOOKS, build_hooks
from sdpose.check.line import CheckLine, listed
from sdpose.check.preflight import Preflight
from sdpose.data.workers import PREFETCH_BATCHES
from sdpose.training.disk_space import shown_bytes
from sdpose.training.energy import find_counters
from sdpose.training.environment import environment_info

# Where the guide looks when hooks cannot be imported.
HOOK_MODULE = "distilpose.models.detectors.training_monitor_hook"
SHARED_MEMORY = Path("/dev/shm")
# Tensors of a batch, each of which is an open file while it travels from a worker.
_FILES_PER_BATCH = 6
_SPARE_FILES = 128
_FREE_GPU_SHARE = 0.5


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Everything that is asked of the machine, not of the config."""
    info = environment_info()
    names = {"sdpose": "sdpose", "Python": "Python", "PyTorch": "PyTorch", "opencv-python-headless": "OpenCV"}
    shown = [f"{name} {info[key].split()[0]}" for key, name in names.items() if key in info]
    yield CheckLine("environment", "pass", f"{', '.join(shown)}; {preflight.machine.describe()}")
    if preflight.machine.imitates_bf16:
        yield CheckLine("precision", "warn", IMITATED_BF16, "runtime.precision=fp32")
    yield _versions_line()
    yield from _hook_lines(preflight)
    yield _gpu_line(preflight)
    workers = preflight.settings.data.train_workers_per_gpu
    yield _cores_line(workers)
    yield _energy_line(preflight)
    if workers:
        yield _shared_memory_line(preflight, workers)
        yield _open_files_line(workers)


def _energy_line(preflight: Preflight) -> CheckLine:
    """Nothing to mend for a training; who wants the numbers reads what they lack."""
    counters = find_counters(preflight.machine.device)
    text = f"counted by {counters.text}" if counters.found else f"not counted: {'; '.join(counters.unknown)}"
    return CheckLine("energy", "pass", text)


def _versions_line() -> CheckLine:
    try:
        requirements = metadata.requires("sdpose") or []
    except metadata.PackageNotFoundError:
        return CheckLine("versions", "pass", "sdpose runs from its source folder; versions are not compared")
    wrong, checked = [], 0
    for requirement in requirements:
        name, _, condition = requirement.partition(";")
        match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(.*)", name)
        if "extra" in condition or match is None:
            continue
        package, bounds = match[1], match[2].replace(" ", "")
        checked += 1
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            wrong.append(f"{package} is not installed")
            continue
        if not _fits(installed, bounds):
            wrong.append(f"{package} {installed} is installed, needed is {bounds}")
    if wrong:
        return CheckLine(
            "versions", "fail", "; ".join(wrong), "`make setup`, or pip install -U -e . in this folder"
        )
    python = ".".join(map(str, sys.version_info[:3]))
    return CheckLine(
        "versions", "pass", f"Python {python} and {checked} packages are as required; mmcv is not needed"
    )


def _fits(installed: str, bounds: str) -> bool:
    """Whether a version is within bounds such as `>=4.10,<5`; other kinds of bounds are left to pip."""
    for bound in filter(None, bounds.split(",")):
        match = re.fullmatch(r"(>=|<)([\d.]+)", bound)
        if match is None:
            continue
        is_least = match[1] == ">="
        reached = _numbers(installed) >= _numbers(match[2])
        if reached != is_least:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """`2.10.0+cpu` -> (2, 10, 0), as far as it consists of numbers."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _hook_lines(preflight: Preflight) -> Iterator[CheckLine]:
    hooks = ", ".join(type(hook).__name__ for hook in build_hooks(preflight.settings, preflight.user_code))
    yield CheckLine("hooks", "pass", f"registered: {hooks}")
    cure = "start from the root of the repository, or install it there: pip install -e ."
    try:
        module = importlib.import_module(HOOK_MODULE)
    except ImportError as error:
        text = f"{HOOK_MODULE} cannot be imported ({error}): old configs and the guide's path need it"
        yield CheckLine("hook import", "warn", text, cure)
        return
    foreign = [name for name, hook in HOOKS.items() if getattr(module, name, None) is not hook]
    where = getattr(module, "__file__", HOOK_MODULE)
    if foreign:
        text = f"{where} does not hand on {listed(foreign)} of this sdpose: another distilpose is on the path"
        yield CheckLine(
            "hook import", "warn", text, f"{cure}; `python -c 'import {HOOK_MODULE}'` shows which"
        )
    else:
        yield CheckLine("hook import", "pass", f"{where} is there and gives {', '.join(HOOKS)}")


def _gpu_line(preflight: Preflight) -> CheckLine:
    if not preflight.on_gpu:
        driver = _driver()
        if driver and not torch.cuda.is_available():
            return CheckLine(
                "GPU",
                "warn",
                f"the driver shows {driver}, but PyTorch {torch.__version__} cannot use it",
                "install a build of PyTorch with CUDA (https://pytorch.org/get-started/locally)",
            )
        chosen = ", one is there but the CPU was asked for" if torch.cuda.is_available() else ""
        return CheckLine("GPU", "pass", f"none used{chosen}; all below is measured on the CPU")
    device = preflight.machine.device
    free, total = torch.cuda.mem_get_info(device)
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    text = (
        f"{torch.cuda.device_count()} seen, used: {name} (compute {capability[0]}.{capability[1]}), "
        f"{shown_bytes(free)} of {shown_bytes(total)} free, driver {_driver() or 'unknown'}, "
        f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )
    measured = {"gpu_free_bytes": free, "gpu_total_bytes": total}
    if free < _FREE_GPU_SHARE * total:
        cure = "another process uses it: `nvidia-smi` shows which; choose another with CUDA_VISIBLE_DEVICES=N"
        return CheckLine("GPU", "warn", text, cure, measured)
    return CheckLine("GPU", "pass", text, measured=measured)


def _driver() -> str:
    """What nvidia-smi says about driver and GPUs, empty without it."""
    if shutil.which("nvidia-smi") is None:
        return ""
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines() if done.returncode == 0 else []
    return listed(lines, most=1)


def _cores_line(workers: int) -> CheckLine:
    cores = len(os.sched_getaffinity(0))
    text = f"{cores} cores for this process, {torch.get_num_threads()} torch threads, {workers} data workers"
    if workers > cores:
        return CheckLine(
            "cores",
            "warn",
            text,
            f"more workers than cores wait for each other: data.workers_per_gpu={cores}",
        )
    return CheckLine("cores", "pass", text, measured={"cores": cores})


def _shared_memory_line(preflight: Preflight, workers: int) -> CheckLine:
    """Batches lie in shared memory from the worker that made them to the process that uses them."""
    if not SHARED_MEMORY.is_dir():
        return CheckLine(
            "shared memory", "pass", f"this system has no {SHARED_MEMORY}; torch uses files instead"
        )
    data = preflight.settings.data
    width, height = data.train.data_cfg.image_size
    needed = (workers * PREFETCH_BATCHES + 1) * data.train_samples_per_gpu * width * height * 3
    free = shutil.disk_usage(SHARED_MEMORY).free
    text = f"{shown_bytes(free)} free in {SHARED_MEMORY}, {workers} workers need {shown_bytes(needed)}"
    if needed > free:
        cure = (
            f"docker run --shm-size={-(-2 * needed // 2**30)}g (or --ipc=host), or lower data.workers_per_gpu"
        )
        return CheckLine("shared memory", "fail", text, cure)
    if 2 * needed > free:
        cure = (
            "two runs at once would not fit: raise it (docker run --shm-size), or lower data.workers_per_gpu"
        )
        return CheckLine("shared memory", "warn", text, cure)
    return CheckLine("shared memory", "pass", text)


def _open_files_line(workers: int) -> CheckLine:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _SPARE_FILES + 2 * workers * PREFETCH_BATCHES * _FILES_PER_BATCH
    text = f"{allowed} allowed (ulimit -n), about {needed} needed"
    if allowed < needed:
        cure = f"ulimit -n {max(4096, 2 * needed)} before training, or lower data.workers_per_gpu"
        return CheckLine("open files", "warn", text, cure)
    return CheckLine("open files", "pass", text)
