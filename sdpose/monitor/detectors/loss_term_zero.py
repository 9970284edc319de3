"""A loss term is exactly zero: it teaches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record


class LossTermZero(Detector):
    """Finds a loss, total or term, that was exactly 0 for `check_interval` iterations in a row, once an episode.

    A term that has never been anything else may be meant so (one cycle has nothing to distil, a weight may be 0),
    so that is a note; a term that went to 0, and a total that is 0, are warnings.
    """

    def __init__(self, *, check_interval: int = 100) -> None:
        self.check_interval = whole_number("LossTermZero", "check_interval", check_interval)
        self.reset()

    def reset(self) -> None:
        self._num_zero: dict[str, int] = {}
        self._lived: list[str] = []

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        findings: list[Finding] = []
        for name, value in record.values.items():
            if value != 0.0:
                if name not in self._lived and "loss" in name:
                    self._lived.append(name)
                if self._num_zero:
                    self._num_zero.pop(name, None)
            elif "loss" in name:
                count = self._num_zero[name] = self._num_zero.get(name, 0) + 1
                if count == self.check_interval:
                    findings.append(self._finding(record, name))
        # A sum of terms that are zero is no second fault.
        if len(findings) > 1 and any(finding.metric == "loss" for finding in findings):
            return [finding for finding in findings if finding.metric == "loss"]
        return findings

    def _finding(self, record: Record, name: str) -> Finding:
        has_lived = name in self._lived
        return Finding.at(
            record,
            kind="loss_term_zero",
            severity="warning" if has_lived or name == "loss" else "info",
            metric=name,
            value=0.0,
            evidence={
                "has_lived": has_lived,
                "num_iterations": self.check_interval,
                "first_iteration": record.iteration - self.check_interval + 1,
                "others": {
                    other: value
                    for other, value in record.values.items()
                    if "loss" in other and other not in (name, "loss")
                },
            },
        )

    def state_dict(self) -> dict[str, Any]:
        return {"num_zero": dict(self._num_zero), "lived": list(self._lived)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._num_zero, self._lived = dict(state["num_zero"]), list(state["lived"])
