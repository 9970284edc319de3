"""What a run ran on: versions, devices, revision. For the head of the log and for `meta.env_info`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from sdpose import __version__

_PACKAGES = ("numpy", "opencv-python-headless", "faster-coco-eval", "pydantic", "tensorboard")


def environment_info() -> dict[str, str]:
    """Name -> value, in the order to show. Imports nothing that is not loaded already."""
    info = {
        "sys.platform": sys.platform,
        "Platform": platform.platform(),
        "Python": sys.version.replace("\n", ""),
        "sdpose": __version__ + _revision(),
        "PyTorch": torch.__version__,
        "CPU": f"{_cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads",
        "CUDA available": str(torch.cuda.is_available()),
    }
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        info["GPU"] = "; ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        info["CUDA"] = str(torch.version.cuda)
        info["cuDNN"] = str(torch.backends.cudnn.version())
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        info["Processes"] = str(torch.distributed.get_world_size())
    for package in _PACKAGES:
        info[package] = _version(package)
    return info


def environment_text(**more: str) -> str:
    """`environment_info` and `more` as `name: value` lines, the form mmcv stores as `env_info`."""
    return "\n".join(f"{name}: {value}" for name, value in {**environment_info(), **more}.items())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _revision() -> str:
    """`+1a2b3c4` when the package runs from a git checkout, with `.dirty` when files differ from it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    revision = _git(root, "rev-parse", "--short", "HEAD")
    if not revision:
        return ""
    return (
        f"+{revision}.dirty"
        if _git(root, "status", "--porcelain", "--untracked-files=no")
        else f"+{revision}"
    )


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
