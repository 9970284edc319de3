"""The seam between a loop and its hooks: what was measured in, alerts out."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, overload

from sdpose.monitor.alert import Alert
from sdpose.monitor.alert_text import alert_lines
from sdpose.monitor.hooks import Hook, RunFacts
from sdpose.monitor.record import Record
from sdpose.monitor.step_records import StepRecords
from sdpose.monitor.training_monitor import TrainingMonitorHook


class Monitor:
    """Watches a training loop.

        monitor = Monitor()
        for step, batch in enumerate(loader, start=1):
            ...
            monitor.observe(step=step, loss=loss.item())
        monitor.finish()

    Alerts come back from `observe` and `finish`, and go to `logger` as text. What is done with them is the caller's
    business. A run that makes `Record`s of its own hands those over instead, after `start`; it logs for itself.

    No hook can stop training: one that raises is reported once, as an alert of kind "hook_failed", and
    switched off.
    """

    def __init__(
        self,
        hooks: Sequence[Hook] | None = None,
        *,
        loss: str | None = None,
        score: str | None = None,
        total_steps: int | None = None,
        facts: RunFacts | None = None,
        logger: logging.Logger | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """All of it may be left out.

        hooks: None is a TrainingMonitorHook.
        loss, score: names of the values to watch; None finds them: a total before its terms, AP before accuracy.
        total_steps: of the whole training; short ones are looked at more closely.
        facts: what else is known of the run; advice becomes concrete with it.
        log: where hooks write lines that are no alerts.
        """
        if hooks is not None and (loss is not None or score is not None):
            raise ValueError(
                "loss= and score= are for a Monitor() without hooks; give them to your hook instead"
            )
        self.hooks = (TrainingMonitorHook(loss=loss, score=score),) if hooks is None else tuple(hooks)
        self.logger = logger or logging.getLogger("sdpose.monitor")
        facts = facts or RunFacts()
        self.facts = facts if total_steps is None else replace(facts, iterations=total_steps)
        self._score = score
        self._steps: StepRecords | None = None
        self._has_started = False
        self._names = _unique_names(self.hooks)
        self._failed: set[str] = set()
        self._pending: list[Alert] = []
        self._epoch = 0
        self._iteration = 0
        if log is not None:
            for hook in self.hooks:
                hook.log = log

    def start(self, facts: RunFacts) -> tuple[Alert, ...]:
        """Tell the hooks about the run; after `load_state_dict`, before the first `observe`."""
        self.facts, self._has_started = facts, True
        self._iteration = max(self._iteration, facts.start_iteration)
        return self._each("on_run_start", facts)

    @overload
    def observe(self, records: Sequence[Record], /) -> tuple[Alert, ...]: ...

    @overload
    def observe(
        self,
        records: None = None,
        /,
        *,
        step: int | None = None,
        epoch: float | None = None,
        val: Mapping[str, float] | None = None,
        **values: float,
    ) -> tuple[Alert, ...]: ...

    def observe(
        self,
        records: Sequence[Record] | None = None,
        /,
        *,
        step: int | None = None,
        epoch: float | None = None,
        val: Mapping[str, float] | None = None,
        **values: float,
    ) -> tuple[Alert, ...]:
        """What the hooks say to one step of a loop, or to a run's records, oldest first and of both modes.

        step: optimizer steps so far; counted anew in each epoch is fine, and so is every tenth step only.
        val: what a validation gave, under its own names. Names that say so need not be in it: `val_acc=0.8`.
        values: what was measured: `loss`, `lr`, `grad_norm`, `time` (seconds of the step) ... Plain numbers: a tensor
        is refused, for reading it waits for the device (ValueError).
        """
        if records is not None:
            return self._observe(records)
        return self.observe_values(values, step=step, epoch=epoch, val=val)

    def observe_values(
        self,
        values: Mapping[str, float],
        *,
        step: int | None = None,
        epoch: float | None = None,
        val: Mapping[str, float] | None = None,
    ) -> tuple[Alert, ...]:
        """`observe` for values whose names are not known beforehand: one may be called "step"."""
        steps = self._started()
        return self._said(self._observe(steps.records(step, epoch, values, val)))

    def _observe(self, records: Sequence[Record]) -> tuple[Alert, ...]:
        alerts: list[Alert] = []
        for mode, run in groupby(records, key=lambda record: record.mode):
            group = list(run)
            if mode == "train":
                self._epoch, self._iteration = group[-1].epoch, group[-1].iteration
                alerts += self._each("on_iterations", group)
                continue
            for record in group:
                self._epoch, self._iteration = record.epoch, record.iteration
                alerts += self._each("on_evaluation", record)
        return tuple(alerts)

    def finish(self, reason: str = "finished") -> tuple[Alert, ...]:
        """Tell the hooks that the run is over and why; statistics are written now."""
        alerts = self._each("on_run_end", reason)
        return alerts if self._steps is None else self._said(alerts)

    def _started(self) -> StepRecords:
        if self._steps is None:
            self._steps = StepRecords(score=self._score)
        if not self._has_started:
            self._steps.epoch_length = self.facts.epoch_length
            resumed_at = max(self._iteration, self.facts.start_iteration)
            self._pending += self.start(replace(self.facts, start_iteration=resumed_at))
        return self._steps

    def _said(self, alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
        log_alerts(alerts, self.logger)
        return alerts

    def state_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint. A hook that failed leaves none and starts anew after a resume."""
        states = {}
        for name, hook in zip(self._names, self.hooks, strict=True):
            if name in self._failed:
                continue
            try:
                states[name] = hook.state_dict()
            except Exception as error:
                self._pending.append(self._switch_off(name, error))
        state = {"epoch": self._epoch, "iteration": self._iteration, "hooks": states}
        return state if self._steps is None else {**state, "steps": self._steps.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken.

        Hooks without a state in it (new in the config) start empty; states without a hook are left.
        """
        self._epoch, self._iteration = state["epoch"], state["iteration"]
        if "steps" in state:
            self._steps = StepRecords(score=self._score)
            self._steps.load_state_dict(state["steps"])
        for name, hook in zip(self._names, self.hooks, strict=True):
            if name not in state["hooks"] or name in self._failed:
                continue
            try:
                hook.load_state_dict(state["hooks"][name])
            except Exception as error:
                self._pending.append(self._switch_off(name, error))

    def _each(self, method: str, argument: object) -> tuple[Alert, ...]:
        alerts, self._pending = self._pending, []
        for name, hook in zip(self._names, self.hooks, strict=True):
            if name in self._failed:
                continue
            try:
                raised = tuple(getattr(hook, method)(argument) or ())
                strangers = [type(alert).__name__ for alert in raised if not isinstance(alert, Alert)]
                if strangers:
                    raise TypeError(f"it returned {strangers[0]}; expected a sequence of Alert, or None")
            except Exception as error:
                alerts.append(self._switch_off(name, error))
            else:
                alerts += raised
        return tuple(alerts)

    def _switch_off(self, name: str, error: Exception) -> Alert:
        self._failed.add(name)
        return Alert(
            kind="hook_failed",
            severity="warning",
            epoch=self._epoch,
            iteration=self._iteration,
            metric=None,
            value=None,
            message=f"⚠️  WARNING: Hook {name} failed and is switched off; training goes on\n"
            f"   {type(error).__name__}: {error}",
            evidence={"hook": name, "traceback": "".join(traceback.format_exception(error))},
        )


def log_alerts(alerts: Sequence[Alert], logger: logging.Logger) -> None:
    """Each alert as one entry of several lines: an error if critical, a warning else; `info` stays unsaid."""
    for alert in alerts:
        if alert.severity != "info":
            level = logging.ERROR if alert.severity == "critical" else logging.WARNING
            logger.log(level, "%s", "\n".join(alert_lines(alert)))


def _unique_names(hooks: Sequence[Hook]) -> tuple[str, ...]:
    """Class name of each, numbered from the second of a kind on: the keys of the saved state."""
    names: list[str] = []
    for hook in hooks:
        kind = type(hook).__name__
        count = sum(type(other).__name__ == kind for other in hooks[: len(names)])
        names.append(kind if count == 0 else f"{kind}#{count + 1}")
    return tuple(names)
