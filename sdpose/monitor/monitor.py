"""The seam between a run and its hooks: records in, alerts out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sdpose.monitor.alert import Alert
from sdpose.monitor.hooks import Hook, RunFacts
from sdpose.monitor.record import Record


class Monitor:
    """Hands the records of a run to several hooks and collects their alerts.

    No hook can stop training: one that raises is reported once, as an alert of kind "hook_failed", and
    switched off.
    `start`, `observe` and `finish` return alerts; what is done with them is the caller's business.
    """

    def __init__(self, hooks: Sequence[Hook], *, log: Callable[[str], None] | None = None) -> None:
        self.hooks = tuple(hooks)
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
        self._iteration = max(self._iteration, facts.start_iteration)
        return self._each("on_run_start", facts)

    def observe(self, records: Sequence[Record]) -> tuple[Alert, ...]:
        """What the hooks say to these records, oldest first; train and val records may be mixed."""
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

    def finish(self, reason: str) -> tuple[Alert, ...]:
        """Tell the hooks that the run is over and why; statistics are written now."""
        return self._each("on_run_end", reason)

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
        return {"epoch": self._epoch, "iteration": self._iteration, "hooks": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken.

        Hooks without a state in it (new in the config) start empty; states without a hook are left.
        """
        self._epoch, self._iteration = state["epoch"], state["iteration"]
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


def _unique_names(hooks: Sequence[Hook]) -> tuple[str, ...]:
    """Class name of each, numbered from the second of a kind on: the keys of the saved state."""
    names: list[str] = []
    for hook in hooks:
        kind = type(hook).__name__
        count = sum(type(other).__name__ == kind for other in hooks[: len(names)])
        names.append(kind if count == 0 else f"{kind}#{count + 1}")
    return tuple(names)
