"""Takes down everything the monitor is told, as a hook like any user's: named in the recipes' `custom_imports`."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Sequence

from benchmarks.fault_corpus.corpus_file import Event
from sdpose.monitor import Hook, Record, RunFacts


class Recording:
    """What one run told; `stop_after` ends it as Ctrl-C would, once that epoch has been evaluated."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stop_after: int | None = None
        self._zero: float | None = None

    def add(self, event: Event) -> None:
        """Times become seconds from the start; what was recorded before goes straight on."""
        if isinstance(event, Record):
            if self._zero is None:
                before = [each.time for each in self.events if isinstance(each, Record)]
                self._zero = event.time - max(before, default=0.0) - 1.0
            event = dataclasses.replace(event, time=event.time - self._zero)
        self.events.append(event)


current = Recording()


def begin() -> Recording:
    """A fresh recording, which all hooks made from now on write to."""
    global current
    current = Recording()
    return current


class RecordingHook(Hook):
    """Raises no alerts and changes nothing."""

    def on_run_start(self, facts: RunFacts) -> None:
        current.add(facts)

    def on_iterations(self, records: Sequence[Record]) -> None:
        for record in records:
            current.add(record)

    def on_evaluation(self, record: Record) -> None:
        current.add(record)
        if record.epoch == current.stop_after:
            os.kill(os.getpid(), signal.SIGINT)
