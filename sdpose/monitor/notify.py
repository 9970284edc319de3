"""Sends alerts to people (e-mail, Slack, Telegram ...: whatever apprise knows) and never holds up training."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any, get_args

from sdpose.monitor.alert import GRAVITY, Alert, Severity
from sdpose.monitor.alert_text import alert_lines

INSTALL = "pip install 'sdpose[notify]'"
# A target that did not answer is asked again after so many seconds, unless the run ends before.
RETRY_AFTER_S = (2.0, 10.0)
HELD_BACK = {
    "en": "   {} more of these since the message before",
    "ko": "   지난 메시지 이후 같은 알림 {}건 더 있음",
}


@dataclass(frozen=True, slots=True)
class _Message:
    title: str
    body: str
    severity: Severity


class Notifier:
    """Hands each alert of `severity` or above to every target, in the background.

    A target has a thread and a queue of its own, so a slow or dead one delays neither training nor the others. What
    goes wrong on the way is said once a target, through `log`, from inside `send` or `close`; hence `send` may be
    called with no alerts at all.

    The same fault (kind and metric) is sent again only after `repeat_after_s`, or when it got graver; the next
    message then says how many were held back.
    """

    def __init__(
        self,
        targets: Sequence[str],
        *,
        severity: Severity = "warning",
        name: str = "run",
        log: Callable[[str], None] | None = None,
        repeat_after_s: float = 3600.0,
        capacity: int = 100,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`targets`: apprise URLs; `name`: of the run, for the title; `capacity`: messages that may wait a target.

        Raises ImportError without apprise and ValueError for a target that it cannot read: at start-up, never later.
        """
        if severity not in get_args(Severity):
            raise ValueError(
                f"notify severity is {severity!r}; expected one of {', '.join(get_args(Severity))}"
            )
        urls = [targets] if isinstance(targets, str) else list(targets)
        self.name = name
        self.severity = severity
        self._log = log or logging.getLogger("sdpose.monitor").warning
        self._repeat_after_s = repeat_after_s
        self._clock = clock
        self._sent: dict[str, tuple[float, int]] = {}
        self._held_back: dict[str, int] = {}
        self._closed = False
        self._targets = [
            _Target(_open_target(url, index, len(urls)), capacity) for index, url in enumerate(urls, start=1)
        ]

    def send(self, alerts: Sequence[Alert]) -> None:
        """Put them on their way and return at once."""
        self._say_problems()
        if self._closed:
            return
        for alert in alerts:
            if GRAVITY[alert.severity] < GRAVITY[self.severity]:
                continue
            message = self._message(alert)
            if message is not None:
                for target in self._targets:
                    target.put(message)

    def close(self, timeout_s: float = 10.0) -> None:
        """Deliver what still waits, but give up after `timeout_s`; for the end of a run."""
        if self._closed:
            return
        self._closed = True
        deadline = time.monotonic() + timeout_s
        for target in self._targets:
            target.hurry()
        for target in self._targets:
            target.join(max(0.0, deadline - time.monotonic()))
        self._say_problems()

    def _message(self, alert: Alert) -> _Message | None:
        """None when the same was sent a short while ago."""
        key = f"{alert.kind}/{alert.metric}"
        gravity, now = GRAVITY[alert.severity], self._clock()
        sent = self._sent.get(key)
        if sent is not None and now - sent[0] < self._repeat_after_s and gravity <= sent[1]:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return None
        self._sent[key] = (now, gravity)
        held_back = self._held_back.pop(key, 0)
        lines = alert_lines(alert)
        if held_back:
            lines.append(HELD_BACK[alert.language].format(held_back))
        title = f"{self.name}: {alert.kind} ({alert.severity}), iteration {alert.iteration}"
        return _Message(title, "\n".join(lines), alert.severity)

    def _say_problems(self) -> None:
        for target in self._targets:
            for problem in target.problems():
                self._log(problem)


class _Target:
    """One address with its queue and its thread, which starts with the first message."""

    def __init__(self, service: Any, capacity: int) -> None:
        self._service = service
        self._label = service.urls(privacy=True)[0].partition("?")[0]
        self._queue: Queue[_Message | None] = Queue(capacity)
        self._problems: SimpleQueue[str] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._hurry = threading.Event()
        self._failing = False
        self._overflowed = False

    def put(self, message: _Message) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"notify {self._label}", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(message)
        except Full:
            if not self._overflowed:
                self._overflowed = True
                self._problems.put(
                    f"notify: {self._label} is too slow: {self._queue.maxsize} messages wait, further ones are left out"
                )

    def hurry(self) -> None:
        """No more waiting between tries; the thread ends when its queue is empty."""
        self._hurry.set()

    def join(self, timeout_s: float) -> None:
        if self._thread is None:
            return
        deadline = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
        except Full:
            pass  # so slow that not even the end fits in; what waits is counted below
        else:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            # The thread is a daemon: it cannot keep the process alive.
            num_left = sum(message is not None for message in list(self._queue.queue)) + 1
            self._problems.put(
                f"notify: {num_left} of the messages to {self._label} were not delivered in time"
            )

    def problems(self) -> list[str]:
        """What has gone wrong since the last call; each kind of it once a target."""
        found = []
        while True:
            try:
                found.append(self._problems.get_nowait())
            except Empty:
                return found

    def _work(self) -> None:
        while (message := self._queue.get()) is not None:
            reason = self._deliver(message)
            if reason is not None and not self._failing:
                self._failing = True
                self._problems.put(
                    f"notify: {self._label} cannot be reached, training goes on without it: {reason}"
                )

    def _deliver(self, message: _Message) -> str | None:
        """Why it could not be delivered; None when it was."""
        reason = self._try(message)
        # One that has failed before gets a single try a message, lest the queue fill up behind it.
        for wait_s in () if self._failing else RETRY_AFTER_S:
            if reason is None or self._hurry.wait(wait_s):
                break
            reason = self._try(message)
        return reason

    def _try(self, message: _Message) -> str | None:
        import apprise

        kinds = {
            "info": apprise.NotifyType.INFO,
            "warning": apprise.NotifyType.WARNING,
            "critical": apprise.NotifyType.FAILURE,
        }
        try:
            answer = self._service.notify(
                title=message.title,
                body=message.body,
                notify_type=kinds[message.severity],
                body_format=apprise.NotifyFormat.TEXT,
            )
        except Exception as error:  # a plugin of apprise may raise anything; it must not end the thread
            return f"{type(error).__name__}: {error}"
        if answer:
            return None
        complaints = [entry.message for entry in answer.logs() if entry.level in ("WARNING", "ERROR")]
        return complaints[-1] if complaints else "no reason given"


def _open_target(url: str, index: int, num_targets: int) -> Any:
    try:
        import apprise
    except ImportError as error:
        raise ImportError(f"a target is named, but the package apprise is missing: {INSTALL}") from error
    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="sdpose", app_desc="sdpose", app_url=""))
    with warnings.catch_warnings():
        # It loads all its plugins here; that some import what Python will drop one day is no business of a run.
        warnings.simplefilter("ignore", DeprecationWarning)
        understood = isinstance(url, str) and service.add(url) and len(service) == 1
    if not understood:
        # What follows :// may be a password.
        scheme, separator, _ = str(url).partition("://")
        shown = f"{scheme}://..." if separator else "without ://"
        raise ValueError(
            f"notify target {index} of {num_targets} ({shown}) is no address that apprise understands; "
            "expected one like 'mailto://user:password@gmail.com' or 'slack://token/channel'"
        )
    return service
