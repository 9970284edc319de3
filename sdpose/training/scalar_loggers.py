"""Where the numbers of a run go besides its own log files: TensorBoard, MLflow, Weights & Biases.

All of them are one shape (`ScalarLogger`), and none may harm the training (`Guarded`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from sdpose.monitor import Alert
from sdpose.training.atomic_file import write_atomically

Ending = Literal["finished", "interrupted", "failed"]
# A server that is gone is not asked at every line: each try may take seconds.
PAUSE_S = 300.0
_FILE = "logger_runs.json"


class ScalarLogger(Protocol):
    """One logger. Tags are mmcv's: `train/loss`, `val/AP`, `learning_rate`. Any method may raise anything."""

    name: str

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        """`mode` is "train" or "val"; `iteration` counts from the very start of the run."""

    def alert(self, alert: Alert) -> None:
        """What the monitor says."""

    def close(self, ending: Ending) -> None:
        """How the run ended. Nothing is called afterwards."""


class Guarded:
    """A logger whose failures are said once and do not end the training; it is tried again after a pause."""

    def __init__(
        self, logger: ScalarLogger, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._say = say
        self._clock = clock
        self._resume_at = float("-inf")
        self._num_lost = 0

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        self._try(lambda: self._logger.add(mode, values, lr=lr, iteration=iteration))

    def alert(self, alert: Alert) -> None:
        self._try(lambda: self._logger.alert(alert))

    def close(self, ending: Ending) -> None:
        self._resume_at = float("-inf")
        self._try(lambda: self._logger.close(ending))
        if self._num_lost:
            self._say(
                f"{self._logger.name}: {self._num_lost} entries were lost; the log files have all of them"
            )

    def _try(self, call: Callable[[], None]) -> None:
        if self._clock() < self._resume_at:
            self._num_lost += 1
            return
        try:
            call()
        except Exception as error:
            # Whatever a foreign library raises: the training is worth more than its copy of the numbers.
            if not self._num_lost:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                self._say(f"{self._logger.name} loses entries, the training goes on: {reason:.300}")
            self._num_lost += 1
            self._resume_at = self._clock() + PAUSE_S


def remembered_run(work_dir: Path, logger: str) -> str | None:
    """The run of a logger that trained in `work_dir` before; None where none did."""
    try:
        runs = json.loads((work_dir / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    run = runs.get(logger) if isinstance(runs, dict) else None
    return run if isinstance(run, str) else None


def remember_run(work_dir: Path, logger: str, run: str) -> None:
    """Note the run of a logger, so that a resumed training goes on in it."""
    path = work_dir / _FILE
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        runs = {}
    text = json.dumps({**(runs if isinstance(runs, dict) else {}), logger: run}, indent=1) + "\n"
    work_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))
