"""What a repair changes about training, as a pure function of the iteration.

Batches that are left out, a lower learning rate, a tighter clipping: each says from which iteration on it holds. So
going back to an earlier state and training on gives the same run, from whichever state one goes back to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Something that holds from an iteration (1-based, of the whole run) on."""

    from_iteration: int
    lr_factor: float = 1.0
    max_norm: float | None = None

    def in_words(self) -> str:
        """What is changed."""
        parts = [f"gradients are clipped to {self.max_norm:.3g}"] if self.max_norm is not None else []
        if self.lr_factor != 1.0:
            parts.append(f"the learning rate is multiplied by {self.lr_factor:.3g}")
        return f"{' and '.join(parts)} from iteration {self.from_iteration} on"


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """All that repairs have changed so far. Iterations are 1-based and count from the start of the run."""

    skipped: frozenset[int] = frozenset()
    """Iterations whose batch is drawn and dropped: no forward, no step."""
    measures: tuple[Measure, ...] = ()

    def skips(self, iteration: int) -> bool:
        """Whether the batch of this iteration is left out."""
        return iteration in self.skipped

    def lr_factor(self, iteration: int) -> float:
        """What the schedule's learning rate is multiplied with."""
        factor = 1.0
        for measure in self._in_force(iteration):
            factor *= measure.lr_factor
        return factor

    def max_norm(self, iteration: int, configured: float | None) -> float | None:
        """The norm that gradients are clipped to; None leaves them."""
        norms = [measure.max_norm for measure in self._in_force(iteration) if measure.max_norm is not None]
        return min(norms if configured is None else [configured, *norms], default=None)

    def with_more(self, skipped: frozenset[int], measure: Measure | None) -> Treatment:
        """This treatment and one repair more."""
        return Treatment(
            skipped=self.skipped | skipped, measures=self.measures + ((measure,) if measure else ())
        )

    def to_plain(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {
            "skipped": sorted(self.skipped),
            "measures": [asdict(measure) for measure in self.measures],
        }

    @classmethod
    def from_plain(cls, state: Mapping[str, Any]) -> Treatment:
        """What `to_plain` gave."""
        return cls(
            skipped=frozenset(state["skipped"]),
            measures=tuple(Measure(**measure) for measure in state["measures"]),
        )

    def _in_force(self, iteration: int) -> list[Measure]:
        return [measure for measure in self.measures if measure.from_iteration <= iteration]
