"""What a text about a fault is made from: the finding, what is known of the run, the language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong, why probably, and what to try; causes and actions most probable first, one line each."""

    message: str
    causes: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One finding to be explained."""

    finding: Finding
    facts: RunFacts
    language: str

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The finding's numbers."""
        return self.finding.evidence

    @property
    def metric(self) -> str:
        """Name of the value that shows the fault."""
        return self.finding.metric or "AP"

    @property
    def is_ours(self) -> bool:
        """A training of this project, so that its commands and settings mean something."""
        return self.facts.config_path is not None

    @property
    def phase(self) -> Literal["early", "middle", "late"] | None:
        """The guide's thirds of a run, 1-50, 50-150 and 150-300 of 300 epochs, scaled to this run's length."""
        if not self.facts.total_epochs:
            return None
        share = self.finding.epoch / self.facts.total_epochs
        return "early" if share < 50 / 300 else "middle" if share < 150 / 300 else "late"

    def say(self, phrase: Phrase, **numbers: Any) -> str:
        """The phrase in the alert's language."""
        return phrase.say(self.language, **numbers)

    def act(self, phrase: Phrase, change: str | None = None, **numbers: Any) -> str:
        """The phrase, and after a colon the exact change where it is known."""
        sentence = self.say(phrase, **numbers)
        return sentence if change is None else f"{sentence}: {change}"

    def message(self, headline: Phrase, *lines: str, **numbers: Any) -> str:
        """The guide's manner: a sign and a headline, then indented lines."""
        sign = NOTE if self.finding.severity == "info" else WARNING
        return "\n   ".join([self.say(sign) + self.say(headline, **numbers), *lines])

    def as_note(self, warning: str) -> str:
        """A text of the guide: as it is, but for information with the sign of a note."""
        if self.finding.severity != "info":
            return warning
        return self.say(NOTE) + warning.removeprefix(self.say(WARNING))


# Two spaces: the sign is two columns wide. No level name here ("INFO" holds what the guide greps for).
WARNING = Phrase("⚠️  WARNING: ", "⚠️  WARNING: ")
NOTE = Phrase("💡  NOTE: ", "💡  참고: ")
