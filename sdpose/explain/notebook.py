"""Experiments as they are made: asked, timed, and written down; one that fails is written down as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdpose.errors import SdposeError
from sdpose.explain.deadline import Deadline
from sdpose.explain.explanation import Experiment, Outcome
from sdpose.explain.phrases import Phrases


@dataclass(frozen=True)
class Answer:
    """What came out of an experiment; `key` names the phrase that says it."""

    outcome: Outcome
    key: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_fault(self) -> bool:
        return self.outcome == "fault"

    @property
    def is_healthy(self) -> bool:
        return self.outcome == "healthy"


class Notebook:
    """The experiments so far. `progress` is told of each before it is made."""

    def __init__(self, say: Phrases, deadline: Deadline, progress: Callable[[str, int, int], None]) -> None:
        self.say = say
        self.deadline = deadline
        self.progress = progress
        self.experiments: list[Experiment] = []

    def ask(self, name: str, experiment: Callable[[], Answer], **about: Any) -> Answer:
        """Make an experiment, unless time is up. `about` fills the question."""
        question = self.say(f"ask.{name}", **about)
        self.progress(question, 0, 0)
        started_s = self.deadline.elapsed_s
        if not self.deadline.allows():
            answer = Answer("skipped", "answer.no_time")
        else:
            try:
                answer = experiment()
            except (RuntimeError, ValueError, ArithmeticError, SdposeError) as error:
                # A user's loss may not take part of a batch; memory may be short. The other questions remain.
                reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                answer = Answer("skipped", "answer.failed", {"reason": reason[:200]})
        self.experiments.append(
            Experiment(
                name=name,
                question=question,
                answer=self.say(answer.key, **answer.numbers),
                outcome=answer.outcome,
                numbers=dict(answer.numbers),
                elapsed_s=round(self.deadline.elapsed_s - started_s, 3),
            )
        )
        return answer


def shown(value: float | None) -> str:
    """A number as people read it: four digits, NaN and Inf by name, "-" for none."""
    if value is None:
        return "-"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return f"{value:.4g}"
