"""How a run ended, by the last lines of its text log; one without an ending goes on, or is silent."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sdpose.monitor.readers.log import Series, TrainingLog

State = Literal["training", "silent", "finished", "interrupted", "stopped", "failed"]
# An evaluation, or a checkpoint on a slow disk, may take this long without a line.
SILENT_AFTER_S = 600.0
_USUAL_GAPS = 5
_NEWEST = 20
_TAIL_BYTES = 20_000
_ENDING = re.compile(
    r" - run (finished|interrupted|stopped|failed)\b(?:: (.*?))?(?:; best .*)?; statistics in "
)


@dataclass(frozen=True)
class Ending:
    """How, and why, where the log says so."""

    state: State
    why: str = ""


def state_of(text_log: Path | None, *, newest_at: float, log: TrainingLog | None) -> Ending:
    """The ending that a run's text log tells, else `training`, or `silent` since `newest_at` (Unix seconds).

    text_log: of its newest part; log: what of it was read so far.
    """
    ending = _read_ending(text_log) if text_log is not None else None
    if ending is not None:
        return ending
    return Ending("silent" if time.time() - newest_at > _silent_after_s(log) else "training")


def _read_ending(text_log: Path) -> Ending | None:
    """None for a run that goes on, or was killed; also where there is no such file."""
    try:
        with text_log.open("rb") as file:
            file.seek(max(0, text_log.stat().st_size - _TAIL_BYTES))
            tail = file.read().decode("utf-8", errors="replace")
    except OSError:
        return None
    found = _ENDING.findall(tail)
    return Ending(*found[-1]) if found else None


def _silent_after_s(log: TrainingLog | None) -> float:
    """Seconds without a line after which a run that has no ending was killed, or hangs."""
    return max(SILENT_AFTER_S, _USUAL_GAPS * _usual_gap_s(log)) if log is not None else SILENT_AFTER_S


def _usual_gap_s(log: TrainingLog) -> float:
    """Between two rows, where the log tells how long an iteration takes; else 0."""
    taken: Series | None = next((s for s in log.series if s.name == "time" and s.mode == "train"), None)
    if taken is None or len(taken.values) < 2:
        return 0.0
    gap = float(np.median(np.diff(taken.steps[-_NEWEST:])) * np.median(taken.values[-_NEWEST:]))
    return gap if np.isfinite(gap) else 0.0
