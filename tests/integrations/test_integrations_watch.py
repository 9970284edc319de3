"""What all adapters share."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest
import torch
from host_trainings import Heard

from sdpose.integrations.watch import Watch
from sdpose.monitor import RunFacts

LOGGER = logging.getLogger("host")


def watch(**options: Any) -> tuple[Watch, Heard]:
    heard = Heard()
    made = Watch(on_alerts=heard, **options)
    made.start(RunFacts(), logger=LOGGER)
    return made, heard


def test_nothing_waits_for_the_device_within_an_interval() -> None:
    """A tensor on the meta device has no value: whoever asks for it raises."""
    made, _ = watch(interval=50)
    for step in range(1, 50):
        assert not made.add(step, 1, {"loss": torch.zeros((), device="meta"), "lr": 0.1})
    with pytest.raises((RuntimeError, NotImplementedError)):
        made.add(50, 1, {"loss": torch.zeros((), device="meta")})


def test_values_come_over_as_they_were_with_their_steps() -> None:
    made, heard = watch(interval=10)
    for step in range(1, 10):
        made.add(step, 1, {"loss": torch.tensor(math.nan if step == 7 else 1.0, dtype=torch.bfloat16)})
    assert heard == []
    assert made.add(10, 1, {"loss": torch.ones(1, 1)})
    assert [(alert.kind, alert.iteration) for alert in heard] == [("non_finite", 7)]


def test_an_evaluation_comes_after_the_steps_before_it() -> None:
    made, heard = watch(interval=100)
    made.add(3, 1, {"loss": torch.tensor(math.inf)})
    made.evaluate(
        3, 1, {"val_loss": torch.tensor(math.nan), "text": "not a number", "matrix": torch.ones(2, 2)}
    )
    assert [alert.metric for alert in heard] == ["loss", "val_loss"]


def test_what_is_no_single_number_is_left_out_and_any_name_may_be_used() -> None:
    made, heard = watch(interval=1)
    values = {
        "loss": np.float32(math.nan), "step": 5, "epoch": 2, "val": 1.0, "records": 3, "predictions": torch.ones(8),
        "name": "x", "none": None, "flag": True, "wave": torch.ones((), dtype=torch.complex64),
    }  # fmt: skip
    made.add(1, 1, values)
    (alert,) = heard
    assert alert.metric == "loss"
    assert alert.evidence["finite"] == ["epoch", "records", "step"]


@pytest.mark.parametrize(
    ("stop_on", "stops"), [(None, False), ("critical", False), ("warning", True), ("info", True)]
)
def test_training_is_ended_by_alerts_as_grave_as_asked(stop_on: Any, stops: bool) -> None:
    made, heard = watch(interval=1, stop_on=stop_on, score="acc")
    for epoch, score in enumerate([0.5, 0.6, 0.3], start=1):
        made.evaluate(epoch, epoch, {"acc": score})
    assert [(alert.kind, alert.severity) for alert in heard] == [("performance_drop", "warning")]
    expected = f"alert performance_drop at iteration 3 (stop_on={stop_on!r})"
    assert made.stop_reason == (expected if stops else None)


def test_a_process_that_is_not_the_first_watches_silently(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    made = Watch(interval=1, stop_on="critical", on_alerts=heard)
    made.start(RunFacts(), logger=LOGGER, speaks=False)
    made.add(1, 1, {"loss": math.nan})
    assert made.stop_reason is not None
    assert (heard, caplog.records) == ([], [])


def test_a_function_for_alerts_that_fails_is_switched_off_and_training_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def fails(alerts: object) -> None:
        calls.append(1)
        raise OSError("no network")

    made = Watch(interval=1, score="acc", on_alerts=fails)
    made.start(RunFacts(), logger=LOGGER)
    for epoch, score in enumerate([0.9, 0.5, 0.4, 0.3], start=1):
        made.evaluate(epoch * 1000, epoch, {"acc": score})
    assert calls == [1]
    said = [entry for entry in caplog.records if "switched off" in entry.message]
    assert [(entry.name, entry.message) for entry in said] == [
        ("host", "sdpose monitor: on_alerts failed and is switched off; training goes on")
    ]
    assert "no network" in str(said[0].exc_info)


def test_times_of_steps_leave_out_what_is_no_step() -> None:
    now = [0.0]
    made, _ = watch(interval=1, clock=lambda: now[0])
    seen: list[dict[str, float]] = []
    made.monitor.observe_values = lambda values, **_: seen.append(values) or ()  # type: ignore[assignment]
    for waited, worked in [(1.0, 2.0), (3.0, 4.0)]:
        now[0] += waited
        made.step_begins()
        now[0] += worked
        made.add(1, 1, {"loss": 1.0})
    now[0] += 100.0
    made.evaluate(2, 1, {})
    now[0] += 5.0
    made.step_begins()
    made.add(3, 1, {"loss": 1.0})
    assert seen == [{"loss": 1.0}, {"loss": 1.0, "time": 7.0, "data_time": 3.0}, {"loss": 1.0}]


def test_an_end_says_what_still_waited() -> None:
    made, heard = watch(interval=100)
    made.add(1, 1, {"loss": torch.tensor(math.nan)})
    made.finish("failed: ValueError")
    assert [alert.kind for alert in heard] == ["non_finite"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval is 0; expected a whole number of at least 1"),
        ({"interval": True}, "interval is True; expected a whole number of at least 1"),
        ({"stop_on": "error"}, "stop_on is 'error'; expected None, 'warning' or 'critical'"),
    ],
)
def test_settings_that_cannot_be_obeyed_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Watch(**options)
