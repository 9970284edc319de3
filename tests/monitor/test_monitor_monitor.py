"""Records in, alerts out, and no hook that can bring a run down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from monitor_records import losses, train, val

from sdpose.monitor import Alert, DetailedLossLogHook, Hook, Monitor, Record, RunFacts


def an_alert(iteration: int = 0) -> Alert:
    return Alert(
        kind="x", severity="info", epoch=1, iteration=iteration, metric=None, value=None, message="x"
    )


class Scribe(Hook):
    """Writes down every call."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def on_run_start(self, facts: RunFacts) -> None:
        self.calls.append(("start", facts.name))

    def on_iterations(self, records: Sequence[Record]) -> None:
        self.calls.append([record.iteration for record in records])

    def on_evaluation(self, record: Record) -> None:
        self.calls.append(("val", record.epoch))

    def on_run_end(self, reason: str) -> None:
        self.calls.append(("end", reason))


def test_records_reach_every_hook_in_order() -> None:
    hooks = [Scribe(), Scribe()]
    monitor = Monitor(hooks)
    monitor.start(RunFacts(name="r"))
    monitor.observe([])
    monitor.observe([*losses([1, 1]), val(1, 0.1), val(2, 0.2), *losses([1], start=201)])
    monitor.finish("interrupted")
    expected = [("start", "r"), [1, 2], ("val", 1), ("val", 2), [201], ("end", "interrupted")]
    assert [hook.calls for hook in hooks] == [expected, expected]


def test_a_hook_may_leave_everything_as_it_is() -> None:
    monitor = Monitor([Hook()])
    assert monitor.start(RunFacts()) == ()
    assert monitor.observe([train(1, 1.0), val(1, 0.5)]) == ()
    assert monitor.finish("finished") == ()
    assert monitor.state_dict()["hooks"] == {"Hook": {}}


def test_a_monitor_without_hooks_says_nothing() -> None:
    monitor = Monitor([])
    assert monitor.start(RunFacts()) + monitor.observe([train(1, math.nan)]) + monitor.finish("x") == ()


class Talker(Hook):
    """Returns one alert whatever happens."""

    def on_run_start(self, facts: RunFacts) -> list[Alert]:
        return [an_alert(1)]

    def on_iterations(self, records: Sequence[Record]) -> list[Alert]:
        return [an_alert(2)]

    def on_evaluation(self, record: Record) -> tuple[Alert, ...]:
        return (an_alert(3),)

    def on_run_end(self, reason: str) -> list[Alert]:
        return [an_alert(4)]


def test_alerts_of_every_call_come_out() -> None:
    monitor = Monitor([Talker()])
    out = [monitor.start(RunFacts()), monitor.observe([train(1, 1.0), val(1, 1.0)]), monitor.finish("x")]
    assert [[alert.iteration for alert in alerts] for alerts in out] == [[1], [2, 3], [4]]


class Faulty(Hook):
    """Raises from the method it is told to, and counts how often it was asked."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.num_calls = 0

    def _act(self, method: str) -> None:
        if method == self.method:
            self.num_calls += 1
            raise ZeroDivisionError("division by zero")

    def on_run_start(self, facts: RunFacts) -> None:
        self._act("on_run_start")

    def on_iterations(self, records: Sequence[Record]) -> None:
        self._act("on_iterations")

    def on_evaluation(self, record: Record) -> None:
        self._act("on_evaluation")

    def on_run_end(self, reason: str) -> None:
        self._act("on_run_end")

    def state_dict(self) -> dict[str, Any]:
        self._act("state_dict")
        return {"kept": 1}

    def load_state_dict(self, state: Any) -> None:
        self._act("load_state_dict")


@pytest.mark.parametrize(
    "method",
    ["on_run_start", "on_iterations", "on_evaluation", "on_run_end", "state_dict", "load_state_dict"],
)
def test_a_hook_that_raises_is_reported_once_and_switched_off(method: str) -> None:
    faulty, healthy = Faulty(method), Scribe()
    monitor = Monitor([faulty, healthy])
    alerts: list[Alert] = []
    monitor.load_state_dict({"epoch": 1, "iteration": 7, "hooks": {"Faulty": {}, "Scribe": {}}})
    alerts += monitor.start(RunFacts())
    for iteration in (8, 9):
        alerts += monitor.observe([train(iteration, 1.0), val(1, 0.5)])
        monitor.state_dict()
    alerts += monitor.finish("finished")
    assert [alert.kind for alert in alerts] == ["hook_failed"]
    assert alerts[0].severity == "warning"
    assert alerts[0].message == (
        "⚠️  WARNING: Hook Faulty failed and is switched off; training goes on\n"
        "   ZeroDivisionError: division by zero"
    )
    assert alerts[0].evidence["hook"] == "Faulty"
    assert "in _act" in alerts[0].evidence["traceback"]
    assert faulty.num_calls == 1
    assert healthy.calls == [("start", "run"), [8], ("val", 1), [9], ("val", 1), ("end", "finished")]
    assert Alert.from_json(alerts[0].to_json()) == alerts[0]


def test_a_failed_hook_leaves_no_state_and_starts_anew_after_a_resume() -> None:
    monitor = Monitor([Faulty("on_iterations"), Scribe()])
    monitor.observe([train(5, 1.0)])
    state = monitor.state_dict()
    assert state == {"epoch": 1, "iteration": 5, "hooks": {"Scribe": {}}}
    resumed = Monitor([Faulty("never"), Scribe()])
    resumed.load_state_dict(state)
    assert resumed.observe([train(6, 1.0)]) == ()


class Chatterbox(Hook):
    """Returns what is no alert."""

    def on_iterations(self, records: Sequence[Record]) -> Any:
        return ["loss is high"]


def test_what_is_no_alert_counts_as_a_failure() -> None:
    (alert,) = Monitor([Chatterbox()]).observe([train(1, 1.0)])
    assert alert.message.endswith("   TypeError: it returned str; expected a sequence of Alert, or None")
    assert (alert.epoch, alert.iteration) == (1, 1)


def test_an_interrupt_passes_through() -> None:
    class Interrupted(Hook):
        def on_iterations(self, records: Sequence[Record]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Monitor([Interrupted()]).observe([train(1, 1.0)])


def test_two_hooks_of_a_kind_keep_their_own_state() -> None:
    monitor = Monitor([DetailedLossLogHook(log_interval=10), Scribe(), DetailedLossLogHook(log_interval=4)])
    monitor.observe(losses([1.0] * 5))
    states = monitor.state_dict()["hooks"]
    assert list(states) == ["DetailedLossLogHook", "Scribe", "DetailedLossLogHook#2"]
    assert [states[name]["counts"] for name in states if name != "Scribe"] == [{"loss": 5}, {"loss": 1}]
