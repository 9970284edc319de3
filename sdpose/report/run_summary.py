"""What a run came to, read from its folder."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from sdpose.errors import SdposeError
from sdpose.monitor import read_alerts
from sdpose.monitor.alert_file import said_once
from sdpose.monitor.guide_text import energy_text
from sdpose.monitor.readers import Series, TrainingLog, UnreadableLog, read_log
from sdpose.monitor.readers.find_runs import find_runs
from sdpose.monitor.readers.run_ending import Ending, State, state_of


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """One work dir. Numbers are None where the folder does not tell them."""

    path: Path
    state: State | Literal["empty"]
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
    energy: str | None = None
    """As training_stats.txt says it; None where no counter was read."""
    num_alerts: dict[str, int] = field(default_factory=dict)
    """By severity."""

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.name


def run_folders(root: Path) -> list[Path]:
    """Folders below `root` (itself included) that hold a run's log, by name. Raises SdposeError when there is none."""
    if not root.is_dir():
        raise SdposeError(f"{root}: no such folder; name the folder that holds the runs (work_dirs)")
    folders = sorted(path for path, own in find_runs([root]) if own)
    if not folders:
        raise SdposeError(
            f"{root}: no run in it (a run's folder holds <time>.log.json); train one: sdpose train CONFIG"
        )
    return folders


def summarize(path: Path) -> RunSummary:
    """What the folder of a run tells. Raises SdposeError for a folder without a log."""
    if not list(path.glob("*.log.json")):
        raise SdposeError(f"{path}: holds no run (no <time>.log.json in it)")
    closed = [each for each in (*path.glob("*.log.json"), path / "alerts.jsonl") if _is_closed(each)]
    if closed:
        return RunSummary(path=path, state="empty", why=f"{closed[0].name} cannot be read: permission denied")
    try:
        log = read_log(path)
    except UnreadableLog:
        return RunSummary(path=path, state="empty", why="nothing logged yet")
    ending = _ending(path, log)
    loss, ap = _series(log, "loss", "train"), _series(log, "AP", "val")
    steps_s = _series(log, "time", "train")
    alerts = said_once(read_alerts(path / "alerts.jsonl"))
    best = int(np.nanargmax(ap.values)) if ap is not None and np.isfinite(ap.values).any() else None
    iteration = int(loss.steps[-1]) if loss is not None else None
    iteration_s = float(np.median(steps_s.values)) if steps_s is not None else None
    return RunSummary(
        path=path,
        state=ending.state,
        why=ending.why,
        epoch=int(loss.epochs[-1]) if loss is not None and np.isfinite(loss.epochs[-1]) else None,
        total_epochs=log.total_epochs,
        iteration=iteration,
        best_ap=float(ap.values[best]) if ap is not None and best is not None else None,
        best_epoch=int(ap.epochs[best]) if ap is not None and best is not None else None,
        last_ap=float(ap.values[-1]) if ap is not None else None,
        last_loss=float(loss.values[-1]) if loss is not None else None,
        elapsed_s=iteration * float(np.mean(steps_s.values)) if iteration and steps_s is not None else None,
        iteration_s=iteration_s,
        energy=_energy(log),
        num_alerts=dict(Counter(alert.severity for alert in alerts)),
    )


def _is_closed(path: Path) -> bool:
    return path.exists() and not os.access(path, os.R_OK)


def duration(seconds: float | None) -> str:
    """1:02:03, hours first; empty where it is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _series(log: TrainingLog, name: str, mode: str) -> Series | None:
    return next((each for each in log.series if each.name == name and each.mode == mode), None)


def _energy(log: TrainingLog) -> str | None:
    """Totals since the start of the run stand in every row: the newest counts."""
    found = [each for each in log.series if each.name == "energy_j"]
    if not found:
        return None
    newest = max(found, key=lambda each: int(each.rows[-1]))
    images, partial = (_series(log, name, newest.mode) for name in ("energy_images", "energy_partial"))
    return energy_text(
        float(newest.values[-1]),
        num_images=float(images.values[-1]) if images is not None else 0.0,
        is_partial=partial is not None and partial.rows[-1] == newest.rows[-1],
    )


def _ending(path: Path, log: TrainingLog) -> Ending:
    """By the newest part of the run."""
    newest = max(path.glob("*.log.json"))
    texts = [newest.with_name(newest.name.removesuffix(".json")), path / "latest.log"]
    newest_at = max(each.stat().st_mtime for each in (newest, *texts) if each.exists())
    return state_of(texts[0], newest_at=newest_at, log=log)
