"""All detectors of a run, set up for it, behind one `update`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor import detectors
from sdpose.monitor.cooldown import Cooldown
from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts
from sdpose.monitor.record import Record

# A short run is looked at more often: so many checks it shall have, though never more often than the user says.
CHECKS_A_RUN = 120
# The same fault is said again after so many checks.
COOLDOWN_CHECKS = 10


class Panel:
    """The universal detectors and those of a live run; a fault that lasts is said once."""

    def __init__(
        self,
        facts: RunFacts,
        *,
        check_interval: int = 50,
        loss_spike_threshold: float = 2.0,
        performance_drop_threshold: float = 0.05,
    ) -> None:
        interval = interval_for(facts, check_interval)
        warmup = facts.warmup_iterations
        self.detectors: Mapping[str, Detector] = {
            "non_finite": detectors.NonFinite(),
            "loss_spike": detectors.LossSpike(
                check_interval=interval, loss_spike_threshold=loss_spike_threshold
            ),
            "divergence": detectors.Divergence(check_interval=interval, warmup_iterations=warmup),
            "no_learning": detectors.NoLearning(check_interval=interval, warmup_iterations=warmup),
            "metric_collapse": detectors.MetricCollapse(total_epochs=facts.total_epochs),
            "performance_drop": detectors.PerformanceDrop(
                performance_drop_threshold=performance_drop_threshold
            ),
            "overfitting": detectors.Overfitting(),
            "plateau": detectors.Plateau(),
            **detectors.live_detectors(facts),
        }
        self.cooldown = Cooldown(COOLDOWN_CHECKS * interval)

    def update(self, record: Record) -> list[Finding]:
        """What is to be said as of this record."""
        return self._sift([f for detector in self.detectors.values() for f in detector.update(record)])

    def finish(self) -> list[Finding]:
        """What is to be said at the end."""
        return self._sift([f for detector in self.detectors.values() for f in detector.finish()])

    def _sift(self, findings: Sequence[Finding]) -> list[Finding]:
        return self.cooldown.sift(findings) if findings else []

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        states = {name: detector.state_dict() for name, detector in self.detectors.items()}
        return {"detectors": states, "cooldown": self.cooldown.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; a detector that it does not know yet starts anew."""
        for name, detector in self.detectors.items():
            if name in state["detectors"]:
                detector.load_state_dict(state["detectors"][name])
        self.cooldown.load_state_dict(state["cooldown"])


def interval_for(facts: RunFacts, check_interval: int) -> int:
    """Iterations between two checks: `check_interval`, or fewer in a run too short to have many of them."""
    if not facts.total_epochs or not facts.epoch_length:
        return check_interval
    total = facts.total_epochs * facts.epoch_length
    return max(1, min(check_interval, total // CHECKS_A_RUN))
