"""The loss left the level that it had reached and stays up (the guide's case 3, without the NaN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.detector import Detector
from sdpose.monitor.finding import Finding
from sdpose.monitor.history import CheckHistory
from sdpose.monitor.parameters import number_between, whole_number
from sdpose.monitor.patterns.divergence import find_divergence
from sdpose.monitor.record import Record
from sdpose.monitor.robust import smooth


class Divergence(Detector):
    """Finds a loss that has been `divergence_threshold` times its best level for the last checks, once an episode.

    Nothing is found while the learning rate warms up, nor in the first ten checks after it: many losses rise with it.
    Unless training batches find clearly fewer joints than they did (`acc_pose`), or cost four times what random weights
    did: one can diverge within the warm-up.

    At the end of a run, however short, the last iterations are compared with the very first one, which no step had
    changed yet: a pose model that costs three times as much then has learnt less than nothing.
    """

    AT_LEAST = 10
    # A model that found this share of the joints, and finds so much of that share now, is losing what it knew.
    KNEW, FORGOT = 0.3, 0.7
    RATIO_OF_FORGETTING = 1.5
    FAR_ABOVE = 4.0
    # One iteration of a healthy training was at most 2.7 times the five before it (docs/guide.md).
    WORSE_THAN_NOTHING = 3.0
    LAST = 5

    def __init__(
        self,
        *,
        check_interval: int = 50,
        divergence_threshold: float = 1.8,
        warmup_iterations: int = 0,
        metric: str = "loss",
    ) -> None:
        self.check_interval = whole_number("Divergence", "check_interval", check_interval)
        self.divergence_threshold = number_between(
            "Divergence", "divergence_threshold", divergence_threshold, 1.0, float("inf")
        )
        self.warmup_iterations = whole_number(
            "Divergence", "warmup_iterations", warmup_iterations, at_least=0
        )
        self.metric = metric
        self._history = CheckHistory(self.check_interval)
        self._accuracy = CheckHistory(self.check_interval)
        self._away = False
        self._untrained: float | None = None
        self._recent: list[tuple[int, int, float]] = []
        self._said = False

    def update(self, record: Record) -> Sequence[Finding]:
        value = record.values.get(self.metric)
        if record.mode == "train" and "acc_pose" in record.values:
            self._accuracy.add(record.iteration, record.values["acc_pose"])
        if record.mode == "train" and value is not None:
            if record.iteration == 1:
                self._untrained = value
            self._recent = [*self._recent, (record.iteration, record.epoch, value)][-self.LAST :]
        if record.mode != "train" or value is None or not self._history.add(record.iteration, value):
            return ()
        forgets = self._forgets()
        skip = self._history.index_after(self.warmup_iterations)
        if forgets or self._exceeds_the_beginning():
            skip = 0
        means = self._history.means[skip:]
        if len(means) < self.AT_LEAST:
            return ()
        found = (
            find_divergence(means, ratio=self.RATIO_OF_FORGETTING, num_noises=3.0)
            if forgets
            else find_divergence(means, ratio=self.divergence_threshold)
        )
        was_away, self._away = self._away, found is not None
        if found is None or was_away:
            return ()
        self._said = True
        return (
            Finding(
                kind="divergence",
                severity="critical",
                epoch=record.epoch,
                iteration=record.iteration,
                metric=self.metric,
                value=found.current,
                evidence={
                    "current": found.current,
                    "best": found.best,
                    "best_iteration": self._history.iteration_at(skip + found.best_index),
                    "ratio": found.ratio,
                    "first_iteration": self._history.iteration_at(skip + found.index),
                },
                time=record.time,
            ),
        )

    def finish(self) -> Sequence[Finding]:
        if self._said or not self._untrained or len(self._recent) < self.LAST or not len(self._accuracy):
            return ()
        current = float(np.median([value for _, _, value in self._recent]))
        # Of NaN and infinities another detector tells.
        if not self.WORSE_THAN_NOTHING * self._untrained <= current < float("inf"):
            return ()
        iteration, epoch, _ = self._recent[-1]
        evidence = {
            "current": current,
            "best": self._untrained,
            "best_iteration": 1,
            "ratio": current / self._untrained,
        }
        return (
            Finding(
                kind="divergence",
                severity="critical",
                epoch=epoch,
                iteration=iteration,
                metric=self.metric,
                value=current,
                evidence=evidence,
                time=0.0,
            ),
        )

    def _exceeds_the_beginning(self) -> bool:
        """Whether a pose model's loss is far above that of its random weights; other models may begin with little."""
        means = self._history.means
        if len(means) < self.AT_LEAST or not len(self._accuracy):
            return False
        return float(np.median(means[-5:])) > self.FAR_ABOVE * float(means[:3].max())

    def _forgets(self) -> bool:
        means = self._accuracy.means
        if len(means) < self.AT_LEAST:
            return False
        best = float(smooth(means, 5).max())
        return best > self.KNEW and float(np.median(means[-5:])) < self.FORGOT * best

    def reset(self) -> None:
        self._history.clear()
        self._accuracy.clear()
        self._away, self._said = False, False
        self._untrained, self._recent = None, []

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self._history.state_dict(),
            "accuracy": self._accuracy.state_dict(),
            "away": self._away,
            "untrained": self._untrained,
            "recent": [list(each) for each in self._recent],
            "said": self._said,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._history.load_state_dict(state["history"])
        self._accuracy.load_state_dict(state["accuracy"])
        self._away = state["away"]
        self._untrained, self._said = state.get("untrained"), state.get("said", False)
        self._recent = [(each[0], each[1], each[2]) for each in state.get("recent", [])]
