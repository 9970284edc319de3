"""The log files of a run: `<stamp>.log`, `<stamp>.log.json` and `latest.log`.

The first two are mmcv's. `latest.log` has the same lines from where training begins, without the level
names and without the start-up report, so that `grep -i "nan\\|inf" latest.log` finds numbers that went
wrong and nothing else ("INFO" and "dataset_info" hold "inf"). Every line is handed to the system at once; a
killed run loses none.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from sdpose.errors import SdposeError
from sdpose.monitor import Alert
from sdpose.training.atomic_file import storage_error
from sdpose.training.log_format import TrainEntry, ValEntry, json_line
from sdpose.training.scalar_loggers import Ending, Guarded, ScalarLogger

Level = Literal["INFO", "WARNING", "ERROR"]
_STAMP = "%Y%m%d_%H%M%S"
LEVELS: tuple[Level, ...] = ("INFO", "WARNING", "ERROR")


class RunLog:
    """Writes one run's logs. Only the main process has an enabled one; elsewhere `enabled=False` writes
    nothing.

    `stamp` (`20240131_120000`) is the wished one, None the time now; where it is taken the next free second
    is used. `console(level, message)` sees every message and train and val line, not the start-up report.
    Raises SdposeError when the files cannot be made.
    """

    def __init__(
        self,
        work_dir: Path,
        *,
        stamp: str | None = None,
        console: Callable[[Level, str], None] | None = None,
        level: str = "INFO",
        loggers: Sequence[ScalarLogger] = (),
        enabled: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if level not in LEVELS:
            raise SdposeError(f"log_level is '{level}', known are {', '.join(LEVELS)}")
        self.work_dir = work_dir
        self.enabled = enabled
        self._console = console
        self._shown_levels = LEVELS[LEVELS.index(level) :]
        self._clock = clock
        self._failed = False
        self._files: list[IO[str]] = []
        self._loggers = [Guarded(logger, self.warning) for logger in loggers]
        self.ending: Ending = "failed"
        self.stamp = stamp or ""
        if not enabled:
            return
        try:
            work_dir.mkdir(parents=True, exist_ok=True)
            self._text, self.stamp = _open_stamped(work_dir, stamp, clock())
            self._json = _open_new(self.json_path)
            # Not through an old link: whatever it points to is not ours to empty.
            (work_dir / "latest.log").unlink(missing_ok=True)
            self._latest = _open_new(work_dir / "latest.log")
        except OSError as error:
            raise storage_error(work_dir / "latest.log", error) from error
        self._files = [self._text, self._json, self._latest]
        self._write(self._latest, f"{self._now()} - mmpose - lines of {self.text_path.name}")

    @property
    def text_path(self) -> Path:
        return self.work_dir / f"{self.stamp}.log"

    @property
    def json_path(self) -> Path:
        return self.work_dir / f"{self.stamp}.log.json"

    def startup(self, message: str, *, level: Level = "INFO", shown: bool = False) -> None:
        """What is said once before training: environment, config, notes on settings. Not in `latest.log`.

        `shown` lets the console see it too. Whatever names keys or paths belongs here: "dataset_info" or a
        folder called "finance" would answer the guide's grep for good.
        """
        if not self.enabled or level not in self._shown_levels:
            return
        self._write(self._text, f"{self._now()} - mmpose - {level} - {message}")
        if shown and self._console is not None:
            self._console(level, message)

    def meta(self, meta: Mapping[str, Any]) -> None:
        """First line of the JSON log: env_info, seed, hook_msgs."""
        if self.enabled:
            self._write(self._json, json_line(meta))

    def info(self, message: str) -> None:
        """An event of the run. Keep "nan" and "inf" out of it unless a number is so: see the head of this
        file."""
        self._message("INFO", message)

    def warning(self, message: str) -> None:
        """Something the user should look at."""
        self._message("WARNING", message)

    def error(self, message: str) -> None:
        """Something that ended the run or lost something."""
        self._message("ERROR", message)

    def train(self, entry: TrainEntry, *, run_iteration: int) -> None:
        """One logging interval. `run_iteration` counts from the very start of the run."""
        self._entry(entry, mode="train", run_iteration=run_iteration)

    def val(self, entry: ValEntry, *, run_iteration: int) -> None:
        """One evaluation."""
        self._entry(entry, mode="val", run_iteration=run_iteration)

    def alert(self, alert: Alert) -> None:
        """For the loggers; the lines of the log are the run's business."""
        for logger in self._loggers:
            logger.alert(alert)

    def close(self) -> None:
        """Close all files, and tell the loggers how the run ended (`ending`). Nothing is lost without it."""
        for logger in self._loggers:
            logger.close(self.ending)
        self._loggers = []
        for file in self._files:
            try:
                file.close()
            except OSError as error:
                self._say_lost(error)
        self._files = []
        self.enabled = False

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, entry: TrainEntry | ValEntry, *, mode: str, run_iteration: int) -> None:
        if not self.enabled:
            return
        self._message("INFO", entry.text())
        self._write(self._json, entry.json())
        for logger in self._loggers:
            logger.add(mode, entry.values, lr=entry.lr, iteration=run_iteration)

    def _message(self, level: Level, message: str) -> None:
        if not self.enabled or level not in self._shown_levels:
            return
        now = self._now()
        self._write(self._text, f"{now} - mmpose - {level} - {message}")
        self._write(self._latest, f"{now} - mmpose - {message}")
        if self._console is not None:
            self._console(level, message)

    def _now(self) -> str:
        """`2024-01-31 12:00:00,123`"""
        moment = self._clock()
        return f"{datetime.datetime.fromtimestamp(moment):%Y-%m-%d %H:%M:%S},{int(moment % 1 * 1000):03d}"

    def _write(self, file: IO[str], line: str) -> None:
        """A full disk must not end a run that could go on; it is said once, and later lines are tried
        again."""
        try:
            file.write(line + "\n")
            file.flush()
        except OSError as error:
            self._say_lost(error)

    def _say_lost(self, error: OSError) -> None:
        if not self._failed and self._console is not None:
            self._console("ERROR", f"the log loses lines: {storage_error(self.text_path, error)}")
        self._failed = True


class RemainingTime:
    """mmcv's estimate: mean time of this process's iterations, times what is left. Evaluations are not
    counted."""

    def __init__(self, *, total_iterations: int, start_iteration: int = 0) -> None:
        self._total = total_iterations
        self._start = start_iteration
        self._elapsed_s = 0.0

    def update(self, iteration: int, elapsed_s: float) -> float:
        """Seconds left after `iteration` finished ones, `elapsed_s` being the time since the last call."""
        self._elapsed_s += elapsed_s
        return self._elapsed_s / max(iteration - self._start, 1) * (self._total - iteration)


def _open_stamped(work_dir: Path, stamp: str | None, now: float) -> tuple[IO[str], str]:
    """The text log under a stamp that no other run has; a run of the same second gets the next one.

    Without a wished one it is later than all others here: who reads the folder goes by the names, and a clock may have
    been set back.
    """
    moment = datetime.datetime.strptime(stamp, _STAMP) if stamp else datetime.datetime.fromtimestamp(now)
    newest = max(filter(None, map(_stamp_of, work_dir.glob("*.log"))), default=moment)
    if stamp is None and newest > moment:
        moment = newest + datetime.timedelta(seconds=1)
    while True:
        free = moment.strftime(_STAMP)
        try:
            return _open_new(work_dir / f"{free}.log"), free
        except FileExistsError:
            moment += datetime.timedelta(seconds=1)


def _stamp_of(path: Path) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(path.stem, _STAMP)
    except ValueError:
        return None


def _open_new(path: Path) -> IO[str]:
    return open(path, "x", encoding="utf-8")
