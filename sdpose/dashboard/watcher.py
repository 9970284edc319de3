"""Looks at all runs again and again, in one thread, and tells whoever listens that something is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sdpose.dashboard.watched_run import WatchedRun, run_id
from sdpose.monitor.readers.find_runs import find_runs

INTERVAL_S = 0.5
# Searching folders is dearer than asking files for their size.
_SEARCH_EVERY_S = 2.0
# Of reading one large log before the others have their turn.
_TURN_S = 0.3
# Of hundreds of old runs hardly one goes on: those are looked at in every fourth round only.
_QUIET_ROUNDS = 4


class Watcher:
    """All runs below `paths`. `runs` is replaced as a whole, so it may be read from any thread."""

    def __init__(self, paths: Sequence[Path], *, interval_s: float = INTERVAL_S) -> None:
        self.paths = tuple(paths)
        self.runs: dict[str, WatchedRun] = {}
        self._interval_s = interval_s
        self._listeners: set[Callable[[], object]] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._searched_at = -_SEARCH_EVERY_S
        self._round = -1
        self.search()

    def search(self) -> bool:
        """Find runs that are new; known ones stay, even when their folder is gone. Whether there are any."""
        self._searched_at = time.monotonic()
        known = dict(self.runs)
        for path, own in find_runs(self.paths):
            identity = run_id(path)
            if identity not in known:
                known[identity] = WatchedRun(identity, path, name=self._name(path), own=own)
        found = len(known) > len(self.runs)
        self.runs = known
        return found

    def look(self) -> bool:
        """One round over all runs; whether more waits to be read."""
        changed = time.monotonic() - self._searched_at >= _SEARCH_EVERY_S and self.search()
        waiting = False
        self._round += 1
        for run in self.runs.values():
            if self._stop.is_set():
                break
            if run.is_quiet and self._round % _QUIET_ROUNDS:
                continue
            new, more = run.refresh(budget_s=_TURN_S)
            changed |= new
            waiting |= more
        if changed:
            self._tell()
        # Behind the news: of a million rows it takes as long as a new one may take to be on the page.
        judged = [not self._stop.is_set() and run.judge() for run in self.runs.values()]
        if any(judged):
            self._tell()
        return waiting

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener`, in the watching thread, whenever something is new; returns what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="sdpose-watch", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing will be new any more."""
        return self._stop.is_set()

    def end(self) -> None:
        """Tell the thread and all who listen that it is over; returns at once."""
        self._stop.set()
        self._tell()

    def stop(self) -> None:
        """End watching; returns when the thread has ended."""
        self.end()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._stop.is_set():
            waiting = self.look()
            # Also while a large log is read: the pages asked for meanwhile need the interpreter.
            self._stop.wait(0.01 if waiting else self._interval_s)

    def _name(self, path: Path) -> str:
        """As short as it is clear: below the folder that was named."""
        for root in self.paths:
            if root != path and path.is_relative_to(root):
                return str(path.relative_to(root))
        return path.absolute().name
