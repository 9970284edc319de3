"""What all adapters share: values wait on the device, alerts are said and handed on, and a stop is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, get_args

import torch

from sdpose.monitor import Alert, Monitor, RunFacts
from sdpose.monitor.alert import GRAVITY, Severity

OnAlerts = Callable[[Sequence[Alert]], object]
# Processes other than the first watch too, for a stop is decided by all, but say nothing.
SILENT = logging.Logger("silent", logging.CRITICAL + 1)


class Watch:
    """A monitor for a framework that calls back after each step, with losses that may still be on the device.

    Reading a loss waits for the device. So `interval` steps are collected and brought over in one go; then, and at an
    evaluation, alerts are raised.
    """

    def __init__(
        self,
        *,
        loss: str | None = None,
        score: str | None = None,
        interval: int = 50,
        stop_on: Severity | None = None,
        on_alerts: OnAlerts | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """loss, score: names of the values to watch; None finds them.
        interval: steps between two looks; 1 sees a NaN at once and waits for the device in every step.
        stop_on: "critical" or "warning": training is ended after an alert as grave; None never does.
        on_alerts: called with new alerts (on the first process), such as `Notifier(...).send`.
        """
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f"interval is {interval!r}; expected a whole number of at least 1")
        if stop_on is not None and stop_on not in get_args(Severity):
            raise ValueError(f"stop_on is {stop_on!r}; expected None, 'warning' or 'critical'")
        self.interval = interval
        self.stop_on = stop_on
        self.stop_reason: str | None = None
        """Why training should end; None while it may go on."""
        self._on_alerts = on_alerts
        self._clock = clock
        self._pending: list[tuple[int, int, dict[str, Any]]] = []
        self._speaks = True
        self._step_began: float | None = None
        self._last_end: float | None = None
        self.monitor = Monitor(loss=loss, score=score)

    def start(self, facts: RunFacts, *, logger: logging.Logger, speaks: bool = True) -> None:
        """Before the first step; `speaks`: this is the first process."""
        self.monitor.facts = facts
        self.monitor.logger = logger if speaks else SILENT
        self._speaks = speaks
        self.stop_reason = None

    def step_begins(self) -> None:
        """The batch is there: what has passed since the step before was waiting for data."""
        self._step_began = self._clock()

    def add(self, step: int, epoch: int, values: Mapping[str, Any]) -> bool:
        """Keep a step's values, tensors as they are; True when that completed an interval and they were looked at."""
        self._pending.append((step, epoch, {**_scalars(values), **self._times()}))
        if len(self._pending) < self.interval:
            return False
        self.flush()
        return True

    def evaluate(self, step: int, epoch: int, metrics: Mapping[str, Any]) -> None:
        """The values of one validation."""
        self.flush()
        (values,) = _to_host([_scalars(metrics)])
        if values:
            self._hear(self.monitor.observe_values({}, step=step, epoch=epoch, val=values))
        self.pause()

    def flush(self) -> None:
        """Look at the steps that wait."""
        pending, self._pending = self._pending, []
        values = _to_host([values for _, _, values in pending])
        for (step, epoch, _), plain in zip(pending, values, strict=True):
            if plain:
                self._hear(self.monitor.observe_values(plain, step=step, epoch=epoch))

    def pause(self) -> None:
        """What comes now (an evaluation, the next epoch's workers) is no part of a step's time."""
        self._last_end = self._step_began = None

    def finish(self, reason: str = "finished") -> None:
        """After the last step, however training ended."""
        self.flush()
        self._hear(self.monitor.finish(reason))

    def state_dict(self) -> dict[str, Any]:
        """Plain data for the framework's checkpoint."""
        self.flush()
        return self.monitor.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.monitor.load_state_dict(state)

    def _times(self) -> dict[str, float]:
        now, last, began = self._clock(), self._last_end, self._step_began
        self._last_end = now
        if last is None or began is None:
            return {}
        return {"time": now - last, "data_time": began - last}

    def _hear(self, alerts: Sequence[Alert]) -> None:
        if not alerts:
            return
        if self.stop_on is not None and self.stop_reason is None:
            grave = [alert for alert in alerts if GRAVITY[alert.severity] >= GRAVITY[self.stop_on]]
            if grave:
                kind, iteration = grave[0].kind, grave[0].iteration
                self.stop_reason = f"alert {kind} at iteration {iteration} (stop_on={self.stop_on!r})"
        if self._on_alerts is None or not self._speaks:
            return
        try:
            self._on_alerts(alerts)
        except Exception:  # whatever it is, it must not end a training
            self._on_alerts = None
            self.monitor.logger.exception(
                "sdpose monitor: on_alerts failed and is switched off; training goes on"
            )


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is a single number, on whatever device; other things (predictions, names) are no values of a run."""
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            if value.numel() == 1 and not value.is_complex():
                kept[str(name)] = value.detach()
        elif isinstance(value, Real) and not isinstance(value, bool):
            kept[str(name)] = value
    return kept


def _to_host(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The same as plain floats, with one transfer a device."""
    places = [
        (index, name, value)
        for index, entry in enumerate(entries)
        for name, value in entry.items()
        if isinstance(value, torch.Tensor)
    ]
    plain: list[dict[str, float]] = [dict(entry) for entry in entries]
    for device in {value.device for _, _, value in places}:
        there = [place for place in places if place[2].device == device]
        numbers = torch.stack([value.reshape(()).float() for _, _, value in there]).tolist()
        for (index, name, _), number in zip(there, numbers, strict=True):
            plain[index][name] = number
    return plain
