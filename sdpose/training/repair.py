"""The words in which repairs are spoken of: what was seen, what is wrong, what is done about it. Plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from sdpose.training.treatment import Measure

Step = Literal["skip", "clip", "lower_lr", "roll_back"]
LADDER: tuple[Step, ...] = ("skip", "clip", "lower_lr", "roll_back")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An alert, as far as a decision needs it."""

    kind: str
    severity: str
    iteration: int
    """Where it was raised."""
    since: int
    """The first iteration that shows it."""
    suspects: tuple[int, ...] = ()
    """Iterations whose batches made the faulty step; empty for `since` alone."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One iteration."""

    iteration: int
    loss: float
    grad_norm: float | None = None
    """Before clipping; None when it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """How high losses were before a fault."""

    loss: float
    spread: float
    """Robust standard deviation."""

    @classmethod
    def of(cls, losses: Sequence[float]) -> Level:
        """Of at least one loss."""
        middle = median(losses)
        return cls(loss=middle, spread=1.4826 * median(abs(loss - middle) for loss in losses))

    def is_back(self, losses: Sequence[float], tolerance: float) -> bool:
        """Whether later losses are where they were before, but for `tolerance` as a part; false when most are NaN."""
        middle = median(loss if loss == loss else math.inf for loss in losses)
        noise = 4 * self.spread / math.sqrt(len(losses))
        return middle <= self.loss + max(noise, tolerance * abs(self.loss))

    def is_far_above(self, loss: float) -> bool:
        """Whether a single loss clearly does not belong to it; NaN does not."""
        return not loss <= self.loss + max(8 * self.spread, abs(self.loss))


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What is done about a fault."""

    step: Step
    attempt: int
    """On this fault, from 1."""
    fault: Fault
    onset: int
    """The first iteration that is done differently because of the fault, those rolled back further aside."""
    go_back_to: int
    """Finished iterations of the state to go back to; -1 when there is none."""
    skipped: frozenset[int] = frozenset()
    """Batches left out because of this fault."""
    measure: Measure | None = None
    level: Level | None = None
    """Of the losses before the fault; None when nothing was before."""
    check_until: int
    """The iteration after which it is judged."""

    def in_words(self) -> str:
        """What is changed."""
        parts = []
        if self.skipped:
            which = ", ".join(map(str, sorted(self.skipped)))
            parts.append(f"the batch of iteration {which} is left out")
        if self.measure is not None:
            parts.append(self.measure.in_words())
        return ", ".join(parts)

    def to_plain(self) -> dict[str, Any]:
        """For the checkpoint and for `repairs.jsonl`."""
        plain = asdict(self)
        plain["fault"]["suspects"] = list(self.fault.suspects)
        return {**plain, "skipped": sorted(self.skipped)}

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Repair:
        """What `to_plain` gave."""
        fault, measure, level = state["fault"], state["measure"], state["level"]
        return cls(
            **{
                **state,
                "fault": Fault(**{**fault, "suspects": tuple(fault["suspects"])}),
                "skipped": frozenset(state["skipped"]),
                "measure": Measure(**measure) if measure else None,
                "level": Level(**level) if level else None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows. All None: train on."""

    repair: Repair | None = None
    """To be made now."""
    helped: Repair | None = None
    """This one has proved itself; a new one may come with it."""
    lost: Repair | None = None
    """What would come next but may not, because `why`: the run is beyond repair. Its `go_back_to` is the last good
    state."""
    why: str = ""
