"""A case: a run whose truth is known; and an outcome: what a rule said about it. Plain data, whatever the source."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sdpose.monitor.alert import Severity

HEALTHY = "healthy"
# Labels of a run, the gravest first: a rule that raises several alarms is taken at its gravest.
VERDICTS = ("nan", "diverged", "metric_collapse", "no_learning", "overfit", "spike", HEALTHY)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of a run."""

    name: str
    verdicts: tuple[str, ...]
    """Labels that are right, the best first."""
    num_records: int
    is_faulty: bool
    planted_at: float = -math.inf
    """No alarm before this place is about the fault."""
    window: tuple[float, float] | None = None
    """Where the first alarm should stand; None: anywhere from `planted_at` on."""
    expected: tuple[str, ...] = ()
    """Kinds of alert that are right, the best first; empty where only labels are known."""
    quiet: tuple[str, ...] = ()
    """Of the expected kinds those that are notes by nature: they find the fault at severity info, too."""
    fault: str = HEALTHY
    """What tables group by."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alert, or one call of a peer's rule."""

    kind: str
    severity: Severity
    place: float
    """Where it was raised: the iteration, or the step of a log."""
    verdict: str | None
    """The label that it stands for; None: something is wrong, but no label says what."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one rule made of one run."""

    truth: Truth
    alarms: tuple[Alarm, ...]
    verdict: str
    failed: str | None = None
    """Why it could not be judged: an unreadable file, a monitor that broke."""

    @property
    def loud(self) -> tuple[Alarm, ...]:
        """Alarms that a person is woken by: warning or above."""
        return tuple(alarm for alarm in self.alarms if alarm.severity != "info")

    @property
    def too_early(self) -> tuple[Alarm, ...]:
        """Loud alarms while nothing was wrong yet: all of them in a healthy run."""
        if not self.truth.is_faulty:
            return self.loud
        return tuple(alarm for alarm in self.loud if alarm.place < self.truth.planted_at)

    @property
    def hits(self) -> tuple[Alarm, ...]:
        """Alarms about the fault since it was planted: loud ones, and notes where no more is to be expected."""
        if not self.truth.is_faulty:
            return ()
        return tuple(
            alarm
            for alarm in self.alarms
            if alarm.place >= self.truth.planted_at
            and (alarm.severity != "info" or alarm.kind in self.truth.quiet)
        )

    @property
    def found(self) -> bool:
        """Whether the fault was noticed."""
        return bool(self.hits)

    @property
    def named(self) -> bool:
        """Whether an alarm of a kind that fits the fault was among them."""
        return any(alarm.kind in self.truth.expected for alarm in self.hits)

    @property
    def delay(self) -> float | None:
        """From the planting to the first alarm about it."""
        if not self.hits or math.isinf(self.truth.planted_at):
            return None
        return min(alarm.place for alarm in self.hits) - self.truth.planted_at

    @property
    def is_in_place(self) -> bool:
        """Whether the first loud alarm stands where the fault shows."""
        if not self.loud:
            return False
        first = min(alarm.place for alarm in self.loud)
        low, high = self.truth.window or (self.truth.planted_at, math.inf)
        return low <= first <= high

    @property
    def verdict_is_right(self) -> bool:
        return self.verdict in self.truth.verdicts


def gravest(alarms: tuple[Alarm, ...]) -> str:
    """The label of a run by its loud alarms; "other" where none of them has one."""
    loud = [alarm for alarm in alarms if alarm.severity != "info"]
    labels = {alarm.verdict for alarm in loud}
    return next((label for label in VERDICTS if label in labels), "other" if loud else HEALTHY)
