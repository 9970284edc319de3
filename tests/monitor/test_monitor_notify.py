"""Alerts reach people over real sockets; a slow, full or dead address costs training nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sdpose.monitor import Alert, alert_lines, notify
from sdpose.monitor.alert import Severity
from sdpose.monitor.notify import Notifier

pytest.importorskip("apprise", reason="apprise is not installed: pip install 'sdpose[notify]'")

# A run gives an alert away in far less than an iteration, however bad the address is.
AT_ONCE_S = 0.2


def an_alert(kind: str = "loss_spike", severity: Severity = "warning", iteration: int = 120) -> Alert:
    return Alert(
        kind=kind,
        severity=severity,
        epoch=3,
        iteration=iteration,
        metric="loss",
        value=2.0,
        message="⚠️  WARNING: Loss spike detected!\n   Current: 2.0000",
        causes=("The learning rate is too high",),
        actions=("Halve it",),
    )


class Inbox(ThreadingHTTPServer):
    """A web hook that keeps what it gets; `delay_s` makes it slow, `refusals` answers so often with an error."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[dict[str, Any]] = []
        self.asked = threading.Event()
        self.delay_s = 0.0
        self.refusals = 0

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/hook"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


class _Handler(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.set()
        time.sleep(self.server.delay_s)
        if self.server.refusals > 0:
            self.server.refusals -= 1
            self.send_response(503)
        else:
            self.server.messages.append(json.loads(body))
            self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    server = Inbox()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dead_url() -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"json://me:password@127.0.0.1:{closed.getsockname()[1]}/hook"


def test_an_alert_arrives_with_the_runs_name_its_kind_and_all_its_lines(inbox: Inbox) -> None:
    said: list[str] = []
    notifier = Notifier([inbox.url], name="sdpose_s", log=said.append)
    alert = an_alert()
    notifier.send([alert])
    notifier.close()
    (message,) = inbox.messages
    assert message["title"] == "sdpose_s: loss_spike (warning), iteration 120"
    assert message["message"] == "\n".join(alert_lines(alert))
    assert message["type"] == "warning"
    assert said == []


@pytest.mark.parametrize(
    ("severity", "arrive"),
    [("info", ["a", "b", "c"]), ("warning", ["b", "c"]), ("critical", ["c"])],
)
def test_only_alerts_as_grave_as_asked_for_are_sent(
    inbox: Inbox, severity: Severity, arrive: list[str]
) -> None:
    notifier = Notifier(inbox.url, severity=severity)
    notifier.send([an_alert("a", "info"), an_alert("b", "warning"), an_alert("c", "critical")])
    notifier.close()
    assert [title.split()[1] for title in inbox.titles] == arrive


def test_every_target_gets_every_alert_in_order(inbox: Inbox) -> None:
    notifier = Notifier([inbox.url, inbox.url])
    for number in range(5):
        notifier.send([an_alert(f"kind{number}")])
    notifier.close()
    kinds = [title.split()[1] for title in inbox.titles]
    assert sorted(kinds) == sorted(2 * [f"kind{number}" for number in range(5)])
    # Two queues, each in order: a kind's second arrival never comes before the first of the kind before it.
    assert [kinds.index(f"kind{number}") for number in range(5)] == sorted(
        kinds.index(f"kind{number}") for number in range(5)
    )


def test_the_same_fault_is_sent_again_only_after_a_while_or_when_it_got_graver(inbox: Inbox) -> None:
    now = [0.0]
    notifier = Notifier(inbox.url, repeat_after_s=60.0, clock=lambda: now[0])
    for at, severity in [(0, "warning"), (10, "warning"), (20, "critical"), (30, "warning"), (90, "warning")]:
        now[0] = float(at)
        notifier.send([an_alert(severity=severity, iteration=at)])  # type: ignore[arg-type]
    notifier.close()
    assert [title.rpartition(" ")[2] for title in inbox.titles] == ["0", "20", "90"]
    last_lines = [message["message"].splitlines()[-1].strip() for message in inbox.messages]
    assert last_lines[1:] == 2 * ["1 more of these since the message before"]


def test_a_dead_target_is_said_once_without_its_password_and_the_others_get_theirs(
    inbox: Inbox, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "RETRY_AFTER_S", (0.01,))
    said: list[str] = []
    notifier = Notifier([dead_url, inbox.url], log=said.append)
    started_at = time.monotonic()
    for number in range(3):
        notifier.send([an_alert(f"kind{number}")])
    assert time.monotonic() - started_at < AT_ONCE_S
    notifier.close()
    assert len(inbox.messages) == 3
    (problem,) = said
    assert problem.startswith("notify: json://me:****@127.0.0.1:")
    assert problem.endswith(
        "/hook cannot be reached, training goes on without it: "
        "A Connection error occurred sending JSON notification to 127.0.0.1."
    )
    assert "password" not in problem


def test_a_target_that_is_away_for_a_moment_gets_the_alert_later(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "RETRY_AFTER_S", (0.01, 0.01))
    inbox.refusals = 2
    said: list[str] = []
    notifier = Notifier(inbox.url, log=said.append)
    notifier.send([an_alert()])
    deadline = time.monotonic() + 10
    while not inbox.messages and time.monotonic() < deadline:
        time.sleep(0.01)
    notifier.close()
    assert len(inbox.messages) == 1
    assert said == []


def test_a_slow_target_holds_up_neither_training_nor_the_end_of_the_run(inbox: Inbox) -> None:
    inbox.delay_s = 1.5
    said: list[str] = []
    notifier = Notifier(inbox.url, capacity=2, log=said.append)
    notifier.send([an_alert()])
    assert inbox.asked.wait(10)
    started_at = time.monotonic()
    for number in range(6):
        notifier.send([an_alert(f"kind{number}")])
    assert time.monotonic() - started_at < AT_ONCE_S
    notifier.close(timeout_s=0.3)
    assert time.monotonic() - started_at < 0.3 + 2 * AT_ONCE_S
    notifier.send([an_alert("after the end")])
    notifier.close()
    label = inbox.url
    assert said == [
        f"notify: {label} is too slow: 2 messages wait, further ones are left out",
        f"notify: 3 of the messages to {label} were not delivered in time",
    ]


def test_a_process_ends_though_a_target_never_answers() -> None:
    """One that accepts the connection and then says nothing: apprise gives up after four seconds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        code = f"""
            from sdpose.monitor import Alert
            from sdpose.monitor.notify import Notifier
            alert = Alert(kind="x", severity="critical", epoch=1, iteration=1, metric=None, value=None, message="m")
            notifier = Notifier("json://127.0.0.1:{listener.getsockname()[1]}/", log=print)
            notifier.send([alert])
            notifier.close(timeout_s=0.5)
        """
        started_at = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
        )
        elapsed_s = time.monotonic() - started_at
    assert done.returncode == 0, done.stderr
    assert "1 of the messages" in done.stdout and "were not delivered in time" in done.stdout
    assert elapsed_s < 20


def test_without_alerts_nothing_is_started() -> None:
    before = threading.active_count()
    notifier = Notifier(["json://127.0.0.1:9/"])
    notifier.send([])
    notifier.send([an_alert("a", "info")])
    assert threading.active_count() == before
    notifier.close()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            ["json://localhost", "telegramm://secret/1"],
            r"notify target 2 of 2 \(telegramm://\.\.\.\) is no address that apprise understands; "
            r"expected one like 'mailto://user:password@gmail.com' or 'slack://token/channel'",
        ),
        (["a-secret-token"], r"notify target 1 of 1 \(without ://\) is no address"),
        ([5], r"notify target 1 of 1 \(without ://\) is no address"),
    ],
)
def test_an_address_that_cannot_work_is_refused_at_start_up(targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Notifier(targets)
    assert "secret" not in str(caught.value)


def test_a_severity_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"severity is 'error'; expected one of info, warning, critical"):
        Notifier([], severity="error")  # type: ignore[arg-type]


def test_a_missing_apprise_is_said_at_start_up_and_only_when_a_target_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    Notifier([]).close()
    with pytest.raises(ImportError) as caught:
        Notifier(["json://localhost"])
    assert str(caught.value) == (
        "a target is named, but the package apprise is missing: pip install 'sdpose[notify]'"
    )
