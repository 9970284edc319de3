"""A loss term that the run had, or should have, is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.parameters import whole_number
from sdpose.monitor.record import Record


class LossTermMissing(Detector):
    """Learns the names with "loss" in them from the first `check_interval` iterations, and misses them afterwards.

    Learnt is what was there every time; `expected` terms are missed from the start. A term is missing when it was
    in none of `check_interval` records in a row, and is named once. What the config names may change with a
    resume, so at iteration `start_iteration` the learning begins anew.
    """

    def __init__(
        self,
        *,
        check_interval: int = 20,
        expected: Sequence[str] = (),
        start_iteration: int = 0,
    ) -> None:
        self.check_interval = whole_number("LossTermMissing", "check_interval", check_interval)
        self.start_iteration = whole_number("LossTermMissing", "start_iteration", start_iteration, at_least=0)
        self.expected = tuple(expected)
        self.reset()

    def reset(self) -> None:
        self._known: set[str] = set()
        self._num_learnt = 0
        self._absent: dict[str, int] = {}
        self._named: list[str] = []
        self._last = 0

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode != "train":
            return ()
        if self._last <= self.start_iteration < record.iteration:
            self.reset()
        self._last = record.iteration
        terms = {name for name in record.values if "loss" in name and name != "loss"}
        if self._num_learnt < self.check_interval:
            self._known = terms if self._num_learnt == 0 else self._known & terms
            self._num_learnt += 1
            watched: set[str] = set(self.expected)
        else:
            watched = self._known.union(self.expected)
        if watched <= terms and not self._absent:
            return ()
        return self._miss(record, watched, terms)

    def _miss(self, record: Record, watched: set[str], terms: set[str]) -> Sequence[Finding]:
        self._absent = {name: self._absent.get(name, 0) + 1 for name in sorted(watched - terms)}
        self._named = [name for name in self._named if name in self._absent]
        gone = [
            name
            for name, count in self._absent.items()
            if count >= self.check_interval and name not in self._named
        ]
        self._named += gone
        if not gone:
            return ()
        return (
            Finding.at(
                record,
                kind="loss_term_missing",
                severity="warning",
                metric=gone[0],
                value=None,
                evidence={
                    "missing": gone,
                    "present": sorted(terms),
                    "first_iteration": record.iteration - self._absent[gone[0]] + 1,
                },
            ),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "known": sorted(self._known),
            "num_learnt": self._num_learnt,
            "absent": dict(self._absent),
            "named": list(self._named),
            "last": self._last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._known, self._num_learnt = set(state["known"]), state["num_learnt"]
        self._absent, self._named = dict(state["absent"]), list(state["named"])
        self._last = state["last"]
