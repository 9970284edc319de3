"""Proof that a killed run, resumed, is the run that was never killed: bit for bit.

Two trainings of the same config: one is left alone, one is killed with SIGKILL in the middle and resumed with
`--resume-from auto`, several times over. Then weights, optimizer state and every logged value but times are compared.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdpose.errors import SdposeError
from sdpose.training.checkpoint import load_checkpoint

NOT_COMPARED = frozenset({"time", "data_time", "memory", "energy_j", "energy_images", "energy_partial"})


@dataclass(frozen=True)
class ResumeProof:
    """What `verify_resume` found. `differences` is empty when the two runs are identical."""

    killed_at: tuple[int, ...]
    """Iterations after which the second run was killed."""
    num_tensors: int
    """Tensors of weights and optimizer state that were compared."""
    num_log_lines: int
    differences: tuple[str, ...]


def verify_resume(
    train_arguments: Sequence[str],
    work_dir: Path,
    *,
    epochs: int,
    epoch_length: int,
    kills: int = 2,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> ResumeProof:
    """Run `sdpose train TRAIN_ARGUMENTS` twice below `work_dir` and compare.

    `train_arguments` must log every iteration and save often enough that there is something to resume from.
    `epoch_length` is in iterations; the kills fall at iterations of the whole run drawn from `seed`.
    """
    num_iterations = epochs * epoch_length
    kill_points = sorted(random.Random(seed).sample(range(1, num_iterations), min(kills, num_iterations - 1)))
    straight, killed = work_dir / "uninterrupted", work_dir / "killed"
    report(f"run 1: {num_iterations} iterations without interruption")
    _train(train_arguments, straight)
    for point in kill_points:
        report(f"run 2: SIGKILL after iteration {point}")
        _train(train_arguments, killed, epoch_length=epoch_length, kill_after=point)
    report("run 2: resumed to the end")
    _train(train_arguments, killed)
    differences = [
        *checkpoint_differences(straight / "latest.pth", killed / "latest.pth"),
        *log_differences(_logged(straight), _logged(killed)),
    ]
    return ResumeProof(
        killed_at=tuple(kill_points),
        num_tensors=sum(1 for _ in _tensors(_content(straight / "latest.pth"))),
        num_log_lines=len(_logged(straight)),
        differences=tuple(differences),
    )


def _train(
    arguments: Sequence[str], work_dir: Path, *, epoch_length: int = 1, kill_after: int | None = None
) -> None:
    command = [sys.executable, "-m", "sdpose.cli.main", "train", *arguments, "--work-dir", str(work_dir)]
    if any(work_dir.glob("*.pth")):
        command += ["--resume-from", "auto"]
    with (
        open(os.devnull) as nothing,
        subprocess.Popen(
            command, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        if kill_after is not None:
            _kill_when_logged(process, work_dir, kill_after, epoch_length)
        output, _ = process.communicate()
    if process.returncode != 0 and not (kill_after is not None and process.returncode == -signal.SIGKILL):
        tail = "\n".join(output.decode(errors="replace").splitlines()[-5:])
        raise SdposeError(
            f"the training that was to be compared ended with code {process.returncode}:\n{tail}"
        )


def _kill_when_logged(
    process: subprocess.Popen[bytes], work_dir: Path, iteration: int, epoch_length: int
) -> None:
    """Kill the process and its loader workers as soon as the log shows `iteration`."""
    while process.poll() is None:
        logged = (key[1:] for key in _logged(work_dir) if key[0] == "train")
        if max(((epoch - 1) * epoch_length + batch for epoch, batch in logged), default=0) >= iteration:
            # The workers are in the same session; killing only the parent would leave them behind.
            os.killpg(process.pid, signal.SIGKILL)
            return
        time.sleep(0.005)


def _logged(work_dir: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """(mode, epoch, iteration) -> logged values; what a resumed run logged again replaces what came before."""
    logged: dict[tuple[str, int, int], dict[str, Any]] = {}
    for path in sorted(work_dir.glob("*.log.json")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run may be half written
            if "mode" in entry:
                key = (entry["mode"], entry["epoch"], entry["iter"])
                logged[key] = {name: value for name, value in entry.items() if name not in NOT_COMPARED}
    return logged


def log_differences(
    straight: Mapping[tuple[str, int, int], dict[str, Any]],
    killed: Mapping[tuple[str, int, int], dict[str, Any]],
) -> Iterator[str]:
    for key in sorted(straight.keys() | killed.keys()):
        mode, epoch, iteration = key
        place = f"log line ({mode}, epoch {epoch}, iteration {iteration})"
        if key not in straight or key not in killed:
            yield f"{place} is only in the {'killed' if key in killed else 'uninterrupted'} run"
        elif repr(straight[key]) != repr(killed[key]):  # repr: NaN equals NaN
            names = [
                name for name in straight[key] if repr(straight[key][name]) != repr(killed[key].get(name))
            ]
            yield f"{place} differs in {', '.join(names)}"


def _content(path: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(path)
    return {"state_dict": checkpoint.state_dict, "optimizer": checkpoint.optimizer}


def checkpoint_differences(straight: Path, killed: Path) -> Iterator[str]:
    ours, theirs = dict(_tensors(_content(straight))), dict(_tensors(_content(killed)))
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            yield f"{name} is only in the {'killed' if name in theirs else 'uninterrupted'} run"
        elif not torch.equal(_bits(ours[name]), _bits(theirs[name])):
            largest = (ours[name].double() - theirs[name].double()).abs().max().item()
            yield f"{name} differs by up to {largest:.3g}"


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _tensors(value, f"{name}.{index}")
