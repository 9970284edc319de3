"""What the experiments found, as plain data: for the page, for `explanation.json`, and for a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdpose.monitor import strict_json

CauseClass = Literal["data", "state", "numerics", "hardware", "settings"]
Outcome = Literal["fault", "healthy", "unclear", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One question put to the run, and what came out."""

    name: str
    """The same in every language: "same_again", "float64", "earlier_weights" ..."""
    question: str
    answer: str
    outcome: Outcome
    """"fault": it shows here too; "healthy": it does not; "skipped": the answer says why."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    elapsed_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A sample without which the fault is gone."""

    image_id: int
    annotation_id: int | None
    """None where the annotation file gives none, or several fit."""
    file_name: str
    position: int
    """In the batch, from 0."""
    rank: int
    reason: str
    """What is odd about it, a sentence."""
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The first tensor, in the order of computing, that is not as it should be."""

    layer: str
    """A module of the model, a loss term, "target", "images" or a parameter."""
    phase: Literal["target", "weights", "forward", "loss", "backward", "optimizer"]
    fault: Literal["non_finite", "extreme"]
    value: float
    """The largest magnitude in it; NaN where something in it is not finite."""
    usual: float | None
    """What it is without the fault."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The verdict on one incident, and what it rests on."""

    kind: str | None
    """Of the alert; None when an iteration was asked for without one."""
    iteration: int
    """The one that raised the alert."""
    metric: str | None
    value: float | None
    reproduced: bool
    """Whether the fault came again from the saved state."""
    cause: CauseClass | None
    """None: the experiments do not tell."""
    verdict: str
    onset: int | None = None
    """The first iteration at which something is wrong; at most `iteration`."""
    suspects: tuple[Suspect, ...] = ()
    place: Place | None = None
    experiments: tuple[Experiment, ...] = ()
    ruled_out: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    """Most useful first; each names the setting, file or image to change."""
    notes: tuple[str, ...] = ()
    """What limits this answer."""
    snapshot_iteration: int | None = None
    source: str = ""
    """The checkpoint that the experiments started from."""
    machine: str = ""
    language: str = "en"
    elapsed_s: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 explained, 1 not reproduced or no cause found."""
        return 0 if self.reproduced and self.cause is not None else 1

    def to_json(self) -> str:
        """One line of strict JSON; NaN and infinities as strings (`monitor.strict_json`)."""
        return strict_json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Explanation:
        """What `to_json` wrote; unknown fields are left out. Raises ValueError for anything else."""
        data = strict_json.loads(text)
        if not isinstance(data, dict) or "verdict" not in data:
            raise ValueError("not an explanation: expected a JSON object with 'verdict'")
        known = _known(cls, data)
        known["suspects"] = tuple(Suspect(**_known(Suspect, entry)) for entry in data.get("suspects", ()))
        known["experiments"] = tuple(
            Experiment(**_known(Experiment, entry)) for entry in data.get("experiments", ())
        )
        known["place"] = Place(**_known(Place, data["place"])) if data.get("place") else None
        for name in ("ruled_out", "actions", "notes"):
            known[name] = tuple(known.get(name, ()))
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"not an explanation: {error}") from None


def _known(kind: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in data.items() if name in names}
