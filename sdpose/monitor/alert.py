"""What the monitor has to say: a fault as data, with a text that a tired person can act on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sdpose.monitor import strict_json
from sdpose.monitor.language import LANGUAGES

Severity = Literal["info", "warning", "critical"]
GRAVITY: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
"""For comparing severities; graver is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One fault, where it was seen, why probably, and what to try.

    `message` may have several lines; `causes` and `actions` are sentences of one line each, most probable
    first. `sdpose.monitor.alert_text.alert_lines` joins all of it for a log.
    """

    kind: str
    severity: Severity
    epoch: int
    iteration: int
    metric: str | None
    """Name of the value that raised it; None when no single value did."""
    value: float | None
    """What that metric was, NaN and infinities included."""
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind the message: str, int, float, bool, None, and lists or dicts of them."""
    causes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    doc: str = ""
    """Where to read more, such as docs/monitor.md#loss_spike; empty: nowhere."""
    language: str = "en"
    """Of message, causes and actions: "en" or "ko". The guide's two warnings are the same in both."""
    time: float | None = None
    """Unix seconds of the record that raised it."""

    def __post_init__(self) -> None:
        if self.severity not in get_args(Severity):
            raise ValueError(
                f"alert severity is {self.severity!r}; expected one of {', '.join(get_args(Severity))}"
            )
        if self.language not in LANGUAGES:
            raise ValueError(f"alert language is {self.language!r}; expected one of {', '.join(LANGUAGES)}")

    def to_json(self) -> str:
        """One line of strict JSON, also for NaN and infinities (see `strict_json`)."""
        return strict_json.dumps({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Alert:
        """The alert that `to_json` wrote; unknown fields are left out. Raises ValueError otherwise."""
        data = strict_json.loads(text)
        if not isinstance(data, dict):
            raise ValueError(f"an alert is a JSON object; got {type(data).__name__}")
        known = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
        required = ("kind", "severity", "epoch", "iteration", "metric", "value", "message")
        missing = [name for name in required if name not in known]
        if missing:
            raise ValueError(
                f"not an alert: {', '.join(missing)} missing; present: {', '.join(data) or 'nothing'}"
            )
        for name in ("causes", "actions"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
