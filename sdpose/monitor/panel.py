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
from sdpose.monitor.watched import OURS, Watched, good_score

# A short run is looked at more often: so many checks it shall have, though never more often than the user says.
CHECKS_A_RUN = 120
CHECKS_BEFORE_LEARNING = 40
# Empty heatmaps are normal until a model has seen about 50,000 people (docs/plateau.md).
PLATEAU_PEOPLE = 60_000
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
        watched: Watched = OURS,
    ) -> None:
        interval = interval_for(facts, check_interval)
        warmup = facts.warmup_iterations
        loss, score = watched.loss or "loss", watched.score or "AP"
        self.detectors: dict[str, Detector] = {
            "non_finite": detectors.NonFinite(metric=score),
            "loss_spike": detectors.LossSpike(
                check_interval=interval, loss_spike_threshold=loss_spike_threshold, metric=loss
            ),
            "divergence": detectors.Divergence(
                check_interval=interval, warmup_iterations=warmup, metric=loss
            ),
            "no_learning": _no_learning(facts, interval, watched, loss, score),
            "metric_collapse": detectors.MetricCollapse(metric=score, total_epochs=facts.total_epochs),
            "performance_drop": detectors.PerformanceDrop(
                performance_drop_threshold=performance_drop_threshold, metric=score
            ),
            "overfitting": detectors.Overfitting(metric=score, loss=loss),
            "plateau": detectors.Plateau(metric=score),
            **detectors.live_detectors(facts),
        }
        if watched.val_loss is not None:
            self.detectors["rising_val_loss"] = detectors.RisingValLoss(metric=watched.val_loss, loss=loss)
        self.cooldown = Cooldown(facts.cooldown_iterations or COOLDOWN_CHECKS * interval)
        self._cooldown_is_fixed = facts.cooldown_iterations is not None
        self._interval = interval
        self._last: int | None = None

    def update(self, record: Record) -> list[Finding]:
        """What is to be said as of this record."""
        if record.mode == "train":
            # In a loop that tells of every thousandth iteration each of those is a check.
            stride = record.iteration - self._last if self._last is not None else 1
            if not self._cooldown_is_fixed:
                self.cooldown.iterations = COOLDOWN_CHECKS * max(self._interval, stride)
            self._last = record.iteration
        return self._sift([f for detector in self.detectors.values() for f in detector.update(record)])

    def finish(self) -> list[Finding]:
        """What is to be said at the end."""
        return self._sift([f for detector in self.detectors.values() for f in detector.finish()])

    def _sift(self, findings: Sequence[Finding]) -> list[Finding]:
        return self.cooldown.sift(findings) if findings else []

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        states = {name: detector.state_dict() for name, detector in self.detectors.items()}
        return {"detectors": states, "cooldown": self.cooldown.state_dict(), "last": self._last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; a detector that it does not know yet starts anew."""
        for name, detector in self.detectors.items():
            if name in state["detectors"]:
                detector.load_state_dict(state["detectors"][name])
        self.cooldown.load_state_dict(state["cooldown"])
        self._last = state.get("last")


def _no_learning(facts: RunFacts, interval: int, watched: Watched, loss: str, score: str) -> Detector:
    # Of a run of others nobody knows how long its epochs are, nor that its first steps say nothing.
    patience = {"epochs_before": 0, "checks_before": CHECKS_BEFORE_LEARNING, "checks_skipped": 0}
    people_an_iteration = (facts.samples_per_gpu or 0) * facts.num_processes
    return detectors.NoLearning(
        check_interval=interval,
        warmup_iterations=facts.warmup_iterations,
        metric=loss,
        score=score,
        good_score=good_score(score),
        plateau_iterations=PLATEAU_PEOPLE // people_an_iteration if people_an_iteration else 0,
        **({} if watched.ours else patience),
    )


def interval_for(facts: RunFacts, check_interval: int) -> int:
    """Iterations between two checks: `check_interval`, or fewer in a run too short to have many of them."""
    total = facts.total_iterations
    return check_interval if total is None else max(1, min(check_interval, total // CHECKS_A_RUN))
