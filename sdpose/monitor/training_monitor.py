"""The guide's TrainingMonitorHook: everything that can be seen to go wrong, and training_stats.txt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sdpose.monitor import guide_text
from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.hooks import Hook, RunFacts
from sdpose.monitor.language import choose_language
from sdpose.monitor.panel import Panel
from sdpose.monitor.parameters import yes_or_no
from sdpose.monitor.record import Record
from sdpose.monitor.run_statistics import RunStatistics
from sdpose.monitor.watched import OURS, Watched

STATISTICS_FILE = "training_stats.txt"


class TrainingMonitorHook(Hook):
    """Watches every iteration and every evaluation of a run."""

    def __init__(
        self,
        *,
        check_interval: int = 50,
        loss_spike_threshold: float = 2.0,
        performance_drop_threshold: float = 0.05,
        save_stats: bool = True,
        loss: str | None = "loss",
        score: str | None = "AP",
    ) -> None:
        """The guide's parameters and defaults, and the names of what is watched.

        check_interval: iterations whose mean loss is one check.
        loss_spike_threshold: a check this many times the mean of the five before it is a spike.
        performance_drop_threshold: AP (0 to 1) lost against the best so far.
        save_stats: whether training_stats.txt is written when the run ends, however it ends.
        loss, score: of the training loss and of the evaluations' score (higher is better); None finds them by name,
        and the validation loss too, when the first record with one comes.
        """
        self._save_stats = yes_or_no("TrainingMonitorHook", "save_stats", save_stats)
        self._make_panel = partial(
            Panel,
            check_interval=check_interval,
            loss_spike_threshold=loss_spike_threshold,
            performance_drop_threshold=performance_drop_threshold,
        )
        self._finds_names = loss is None or score is None
        named = Watched(loss=loss, score=score)
        self._watched = OURS if (loss, score) == (OURS.loss, OURS.score) else named
        self._facts = RunFacts()
        self.panel = self._make_panel(self._facts, watched=self._watched)
        self.statistics = RunStatistics()
        self._language = choose_language()

    def on_run_start(self, facts: RunFacts) -> None:
        self._facts = facts
        self._renew_panel()
        self._language = choose_language(facts.language)

    def on_iterations(self, records: Sequence[Record]) -> Sequence[Alert]:
        for record in records:
            self._learn_names(record)
            self.statistics.add_energy(record.values)
            loss = record.values.get(self._watched.loss or "")
            if loss is not None:
                self.statistics.add_loss(loss)
        return self._detect(records)

    def on_evaluation(self, record: Record) -> Sequence[Alert]:
        self._learn_names(record)
        self.statistics.add_energy(record.values)
        score = record.values.get(self._watched.score or "")
        if score is not None:
            self.statistics.add_ap(score)
        return self._detect([record])

    def on_run_end(self, reason: str) -> Sequence[Alert]:
        if self._save_stats and self._facts.work_dir is not None:
            _replace(self._facts.work_dir / STATISTICS_FILE, guide_text.training_stats(self.statistics))
        return [explain(finding, self._facts, self._language) for finding in self.panel.finish()]

    def state_dict(self) -> dict[str, Any]:
        state = {"panel": self.panel.state_dict(), "statistics": self.statistics.state_dict()}
        return {**state, "watched": asdict(self._watched)} if self._finds_names else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._finds_names and "watched" in state:
            self._watched = Watched(**state["watched"])
            self._renew_panel()
        if "panel" in state:  # a checkpoint of 0.1.0 knows three detectors only, which then start anew
            self.panel.load_state_dict(state["panel"])
        self.statistics = RunStatistics.from_state_dict(state["statistics"])

    def _learn_names(self, record: Record) -> None:
        if not self._finds_names:
            return
        watched = self._watched.learn(record)
        if watched != self._watched:
            self._watched = watched
            self._renew_panel()

    def _renew_panel(self) -> None:
        seen = self.panel.state_dict()
        self.panel = self._make_panel(self._facts, watched=self._watched)
        self.panel.load_state_dict(seen)

    def _detect(self, records: Sequence[Record]) -> list[Alert]:
        return [
            explain(finding, self._facts, self._language)
            for record in records
            for finding in self.panel.update(record)
        ]


def _replace(path: Path, text: str) -> None:
    # Never half a file, also when the disk is full: the statistics of the run before stay whole until then.
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
