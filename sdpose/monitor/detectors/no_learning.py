"""The loss does not fall (the guide's case 1); on heatmaps: it sits where all maps are zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.history import CheckHistory
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.patterns.no_learning import find_no_learning
from sdpose.monitor.record import Record
from sdpose.monitor.robust import trend
from sdpose.monitor.watched import full_score

# A drawn joint's map peaks at 1; a map that never reaches this shows no joint.
EMPTY_PEAK = 0.1
# Share of joints that a training batch finds (`acc_pose`): who finds these has learnt.
FOUND_SHARE = 0.35
GOOD_AP = 0.3
EPOCHS_BEFORE = 2
CHECKS_BEFORE = 20
# The first checks show how any network unlearns its random outputs, whatever is wrong with the rest.
CHECKS_SKIPPED = 2


class NoLearning(Detector):
    """Finds a loss that, after its first checks, neither falls nor trends down; once, until something was learnt.

    Looks after `epochs_before` epochs and from the `checks_before`-th check on, after the warm-up. An AP that rises or
    is good already, or joints that are found, speak against it. A loss that fell to where all heatmaps are empty and
    stays there is found after `plateau_iterations`: every training passes through that.
    """

    def __init__(
        self,
        *,
        check_interval: int = 50,
        warmup_iterations: int = 0,
        metric: str = "loss",
        score: str = "AP",
        good_score: float = GOOD_AP,
        epochs_before: int = EPOCHS_BEFORE,
        checks_before: int = CHECKS_BEFORE,
        checks_skipped: int = CHECKS_SKIPPED,
        plateau_iterations: int = 0,
    ) -> None:
        """`good_score`: the share of a full score that nobody gets by chance; `epochs_before` 0: no matter when."""
        self.check_interval = whole_number("NoLearning", "check_interval", check_interval)
        self.warmup_iterations = whole_number(
            "NoLearning", "warmup_iterations", warmup_iterations, at_least=0
        )
        self.good_score = number_between("NoLearning", "good_score", good_score, 0.0, 1.0)
        self.epochs_before = whole_number("NoLearning", "epochs_before", epochs_before, at_least=0)
        self.checks_before = whole_number("NoLearning", "checks_before", checks_before)
        self.checks_skipped = whole_number("NoLearning", "checks_skipped", checks_skipped, at_least=0)
        self.plateau_iterations = whole_number(
            "NoLearning", "plateau_iterations", plateau_iterations, at_least=0
        )
        self.metric, self.score = metric, score
        self._history = CheckHistory(self.check_interval)
        self._scores: list[float] = []
        self._peak: float | None = None
        self._accuracy: float | None = None
        self._said = False

    def update(self, record: Record) -> Sequence[Finding]:
        if record.mode == "val":
            score = record.values.get(self.score, math.nan)
            if math.isfinite(score):
                self._scores = [*self._scores, score][-20:]
            return ()
        self._peak = record.values.get("heatmap_peak", self._peak)
        self._accuracy = record.values.get("acc_pose", self._accuracy)
        value = record.values.get(self.metric)
        if value is None or not self._history.add(record.iteration, value):
            return ()
        young = self.epochs_before > 0 and record.epoch <= self.epochs_before
        if young or len(self._history) < self.checks_before:
            return ()
        if record.iteration < 2 * self.warmup_iterations:
            return ()
        empty = self._peak is not None and self._peak < EMPTY_PEAK
        finds_joints = self._accuracy is not None and self._accuracy > FOUND_SHARE
        skipped = self.checks_skipped
        found = find_no_learning(self._history.means[skipped:])
        if found is None and empty and record.iteration >= self.plateau_iterations:
            # Every training goes through empty maps. Empty ones after that time are proof enough that nothing was
            # learnt: how the random ones went before does not matter then.
            skipped = len(self._history) // 2
            found = find_no_learning(self._history.means[skipped:])
        rising = trend(self._scores) > 1.9 or self._is_good()
        if finds_joints or rising:
            self._said = False
            return ()
        if found is None or self._said:
            return ()
        self._said = True
        return (
            Finding(
                kind="no_learning",
                severity="critical",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=found.last,
                evidence={
                    "first": found.first,
                    "last": found.last,
                    "change": found.change,
                    "spread": found.spread,
                    "num_points": found.num_points,
                    "plateau": empty,
                    "first_iteration": self._history.iteration_at(skipped),
                },
                time=record.time,
            ),
        )

    def _is_good(self) -> bool:
        if len(self._scores) < 2:
            return False
        return self._scores[-1] > self.good_score * full_score(max(self._scores))

    def reset(self) -> None:
        self._history.clear()
        self._scores, self._peak, self._accuracy, self._said = [], None, None, False

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self._history.state_dict(),
            "scores": list(self._scores),
            "peak": self._peak,
            "accuracy": self._accuracy,
            "said": self._said,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._history.load_state_dict(state["history"])
        self._scores, self._peak = list(state["scores"]), state["peak"]
        self._accuracy, self._said = state["accuracy"], state["said"]
