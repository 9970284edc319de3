"""What a run came to, read from its folder."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from sdpose.errors import SdposeError
from sdpose.monitor import read_alerts
from sdpose.monitor.readers import Series, TrainingLog, UnreadableLog, read_log

State = Literal["training", "finished", "interrupted", "stopped", "failed", "silent", "empty"]
# A run that is alive writes a line in this time.
SILENT_AFTER_S = 600.0
_ENDING = re.compile(r"\brun (finished|interrupted|stopped|failed)\b(?:: (.*?))?(?:; |$)")
_TAIL_BYTES = 20_000


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One work dir. Numbers are None where the folder does not tell them."""

    path: Path
    state: State
    why: str = ""
    """What ended it, for a run that failed or was stopped."""
    epoch: int | None = None
    total_epochs: int | None = None
    iteration: int | None = None
    best_ap: float | None = None
    best_epoch: int | None = None
    last_ap: float | None = None
    last_loss: float | None = None
    elapsed_s: float | None = None
    """Of training, as its log counts: evaluations and pauses aside."""
    iteration_s: float | None = None
    num_alerts: dict[str, int] = field(default_factory=dict)
    """By severity."""

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.name


def find_runs(root: Path) -> list[Path]:
    """Folders below `root` (itself included) that hold a run's log, by name. Raises SdposeError when there is none."""
    if not root.is_dir():
        raise SdposeError(f"{root}: no such folder; name the folder that holds the runs (work_dirs)")
    logs = [path.parent for path in root.rglob("*.log.json") if "previous_" not in path.parent.name]
    folders = sorted(set(logs))
    if not folders:
        raise SdposeError(
            f"{root}: no run in it (a run's folder holds <time>.log.json); train one: sdpose train CONFIG"
        )
    return folders


def summarize(path: Path) -> RunSummary:
    """What the folder of a run tells. Raises SdposeError for a folder without a log."""
    if not list(path.glob("*.log.json")):
        raise SdposeError(f"{path}: holds no run (no <time>.log.json in it)")
    state, why = _state(path)
    try:
        log = read_log(path)
    except UnreadableLog:
        return RunSummary(path=path, state="empty", why="nothing logged yet")
    loss, ap = _series(log, "loss", "train"), _series(log, "AP", "val")
    steps_s = _series(log, "time", "train")
    alerts = read_alerts(path / "alerts.jsonl") if (path / "alerts.jsonl").exists() else []
    best = int(np.argmax(ap.values)) if ap is not None and len(ap.values) else None
    iteration = int(loss.steps[-1]) if loss is not None else None
    iteration_s = float(np.median(steps_s.values)) if steps_s is not None else None
    return RunSummary(
        path=path,
        state=state,
        why=why,
        epoch=int(loss.epochs[-1]) if loss is not None and np.isfinite(loss.epochs[-1]) else None,
        total_epochs=log.total_epochs,
        iteration=iteration,
        best_ap=float(ap.values[best]) if ap is not None and best is not None else None,
        best_epoch=int(ap.epochs[best]) if ap is not None and best is not None else None,
        last_ap=float(ap.values[-1]) if ap is not None else None,
        last_loss=float(loss.values[-1]) if loss is not None else None,
        elapsed_s=iteration * float(np.mean(steps_s.values)) if iteration and steps_s is not None else None,
        iteration_s=iteration_s,
        num_alerts=dict(Counter(alert.severity for alert in alerts)),
    )


def _series(log: TrainingLog, name: str, mode: str) -> Series | None:
    return next((each for each in log.series if each.name == name and each.mode == mode), None)


def _state(path: Path) -> tuple[State, str]:
    """From the last lines of latest.log, and from when they were written."""
    log = path / "latest.log"
    if not log.exists():
        return "silent", ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    endings = [match for line in text.splitlines() if (match := _ENDING.search(line))]
    if endings:
        states: dict[str, State] = {
            "finished": "finished",
            "interrupted": "interrupted",
            "stopped": "stopped",
            "failed": "failed",
        }
        return states[endings[-1][1]], endings[-1][2] or ""
    silent = time.time() - log.stat().st_mtime > SILENT_AFTER_S
    return ("silent", "") if silent else ("training", "")
