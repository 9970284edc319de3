"""Ctrl-C, SIGTERM and a closed terminal as a wish to stop: the iteration is finished and the run saved before the
process ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

# One key press reaches a process twice when a launcher hands it on; that is not a second wish.
_SAME_WISH_S = 1.0
_MEANINGS = {signal.SIGINT: "Ctrl-C", signal.SIGHUP: "the terminal was closed"}
# What a process ends with that was stopped by one of them, as shells count.
STOPPED_CODES = (128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM)


class StopRequest:
    """While it is entered, SIGINT, SIGTERM and SIGHUP set `requested` instead of ending the process.

    Under `nohup` SIGHUP stays ignored. A second Ctrl-C more than a second later raises KeyboardInterrupt at once. On
    leaving, the earlier handlers are back. Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.signal: signal.Signals | None = None
        self._clock = clock
        self._requested_at = 0.0
        self._owner = 0
        self._earlier: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """True once a signal has come."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """129 after SIGHUP, 130 after SIGINT, 143 after SIGTERM, as shells count; 0 without a signal."""
        return 128 + self.signal if self.signal is not None else 0

    @property
    def name(self) -> str:
        """The signal in words, "a signal to another process" where none has come to this one."""
        if self.signal is None:
            return "a signal to another process"
        meaning = _MEANINGS.get(self.signal)
        return f"{self.signal.name} ({meaning})" if meaning else self.signal.name

    def __enter__(self) -> StopRequest:
        self._owner = os.getpid()
        if threading.current_thread() is threading.main_thread():
            hangup = (signal.SIGHUP,) if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else ()
            for number in (signal.SIGINT, signal.SIGTERM, *hangup):
                self._earlier[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            # None: the handler was not set from Python and cannot be given back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._earlier = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            self._in_forked_worker(number)
            return
        now = self._clock()
        if self.requested and number == signal.SIGINT and now - self._requested_at > _SAME_WISH_S:
            raise KeyboardInterrupt
        if not self.requested:
            self.signal = signal.Signals(number)
            self._requested_at = now

    def _in_forked_worker(self, number: int) -> None:
        """A loader's worker inherits this handler. Ctrl-C and a closed terminal are the main process's business;
        SIGTERM ends the worker."""
        if number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
