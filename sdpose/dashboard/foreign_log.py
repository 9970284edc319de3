"""A log of another trainer: read as a whole, and again when it has changed."""

from __future__ import annotations

import time
from pathlib import Path

from sdpose.monitor.readers import TrainingLog, UnreadableLog, read_log

_ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".log", ".txt")


class ForeignLog:
    """Whatever `sdpose diagnose` reads: a file, or a folder with one in it."""

    overview = False
    text_path = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newest_at = 0.0
        self.deleted = False
        self.read = 0.0
        self._stamp: object = None
        self._not_before = 0.0
        self._log = TrainingLog(path=path, format="unread", series=())

    def refresh(self, *, budget_s: float) -> tuple[bool, bool]:
        """Read the log when its files have changed, but spend no more than a tenth of the time on it."""
        files = self._files()
        if not files:
            changed, self.deleted = not self.deleted, True
            return changed, False
        self.deleted = False
        if files == self._stamp or time.monotonic() < self._not_before:
            return False, False
        self._stamp = files
        self.newest_at = max(stamp / 1e9 for _, _, stamp in files)
        started_at = time.monotonic()
        try:
            self._log = read_log(self.path, whole_lines=True)
        except UnreadableLog as error:
            self._log = TrainingLog(path=self.path, format="unreadable", series=(), notes=(str(error),))
        self.read = 1.0
        took = time.monotonic() - started_at
        self._not_before = time.monotonic() + max(0.0, 10 * (took - 0.05))
        return True, False

    def log(self) -> TrainingLog:
        """What was read last."""
        return self._log

    def _files(self) -> list[tuple[str, int, int]]:
        try:
            paths = [self.path]
            if self.path.is_dir():
                paths = [
                    path
                    for path in sorted(self.path.glob("**/*"))
                    if path.suffix in _ENDINGS or "tfevents" in path.name
                ]
            return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        except OSError:
            return []
