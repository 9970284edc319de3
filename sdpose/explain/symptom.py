"""What counts as the fault: values that are not finite, or far beyond what the same run shows otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sdpose.explain.computation import Lived
from sdpose.monitor.robust import median, robust_spread

# A loss ten times its usual value is no noise of mini-batches; the spread guards losses that are wild by nature.
TIMES_USUAL = 10.0
SPREADS = 12.0
# Fewer iterations say nothing about what is usual.
ENOUGH = 3


@dataclass(frozen=True)
class Usual:
    """What the values are without the fault, from iterations or batches that are well."""

    history: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, lived: Iterable[Lived]) -> Usual:
        """From some passes; values that are not finite are left out."""
        history: dict[str, list[float]] = {}
        for one in lived:
            for name, value in one.values.items():
                if math.isfinite(value):
                    history.setdefault(name, []).append(value)
        return cls(history)

    def level(self, name: str) -> float | None:
        """The median; None where nothing is known."""
        values = self.history.get(name, ())
        return median(values) if len(values) else None

    def limit(self, name: str, *, times: float = TIMES_USUAL) -> float | None:
        """Above this a value is extreme; None where too little is known, or all was zero."""
        values = self.history.get(name, ())
        level = self.level(name)
        if level is None or len(values) < ENOUGH or level <= 0:
            return None
        return max(times * level, level + SPREADS * robust_spread(values))


@dataclass(frozen=True)
class Sign:
    """A value that shows the fault."""

    name: str
    value: float
    usual: float | None = None

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.value)


@dataclass(frozen=True)
class Symptom:
    """The fault that is looked for: that of an alert, or anything (`metric` None)."""

    metric: str | None = None
    value: float | None = None
    """What the run saw."""

    def sign(self, lived: Lived, usual: Usual) -> Sign | None:
        """How this pass shows the fault, or None. Weights that are not finite count as well."""
        broken = not_finite(lived)
        if broken is not None:
            return broken
        # Not every term: a negligible one may grow tenfold without anybody suffering from it.
        for name in dict.fromkeys(("loss", self.metric or "loss")):
            limit = self._limit(name, usual)
            if name in lived.values and limit is not None and lived.values[name] > limit:
                grown = _most_grown_term(lived, usual) if name == "loss" else None
                return grown or Sign(name, lived.values[name], usual.level(name))
        return None

    def _limit(self, name: str, usual: Usual) -> float | None:
        level = usual.level(name)
        seen = self.value if name == self.metric else None
        if seen is not None and level is not None and math.isfinite(seen) and level > 0 and seen > 2 * level:
            # Half way, on a scale of ratios, between what is usual and what the run saw.
            return math.sqrt(level * seen)
        return usual.limit(name)


def _most_grown_term(lived: Lived, usual: Usual) -> Sign | None:
    """The loss term that added most to the sum."""
    growth = {
        name: value - (usual.level(name) or 0.0)
        for name, value in lived.values.items()
        if "loss" in name and name != "loss"
    }
    if not growth:
        return None
    name = max(growth, key=lambda name: growth[name])
    return Sign(name, lived.values[name], usual.level(name))


def not_finite(lived: Lived) -> Sign | None:
    """The first value, or tensor of the model, that is NaN or infinite."""
    for name, value in lived.values.items():
        # The sum is never the culprit when one of its terms is there to be named; it comes after them.
        if not math.isfinite(value):
            return Sign(name, value)
    if lived.broken_weights:
        return Sign(lived.broken_weights[0], math.nan)
    return None
