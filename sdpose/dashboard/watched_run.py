"""One run as the page sees it: its log, its alerts, its state, its verdict."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.dashboard.alerts import AlertTail, as_data
from sdpose.dashboard.foreign_log import ForeignLog
from sdpose.dashboard.own_log import OwnLog
from sdpose.monitor.alert import Alert
from sdpose.monitor.alert_file import said_once
from sdpose.monitor.alert_language import explained, in_language
from sdpose.monitor.facts_of_config import facts_of
from sdpose.monitor.hooks import RunFacts
from sdpose.monitor.log_roles import assign_roles
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.readers.run_config import config_path, config_text, settings_in
from sdpose.monitor.readers.run_ending import SILENT_AFTER_S, state_of
from sdpose.monitor.run_verdict import RunVerdict, judge_run

# Of mmcv's and mmengine's configs.
_OF_A_CONFIG = frozenset(["model", "data", "optimizer", "optim_wrapper", "train_dataloader", "train_cfg"])


def run_id(path: Path) -> str:
    """A short word for a path: it says nothing about it and stays the same."""
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:12]


class WatchedRun:
    """Refreshed by one thread, asked by others. `version` grows with everything that is new."""

    def __init__(self, identity: str, path: Path, *, name: str, own: bool) -> None:
        self.identity = identity
        self.path = path
        self.name = name
        self.version = 0
        self.folder = path if path.is_dir() else path.parent
        self._own = own
        self._source = OwnLog(path) if own else ForeignLog(path)
        self._alerts = AlertTail(self.folder / "alerts.jsonl")
        self._log: tuple[int, TrainingLog] | None = None
        self._verdict: RunVerdict | None = None
        self._found: tuple[Alert, ...] = ()
        self._waits = True
        self._judged_version = -1
        self._judge_after = 0.0
        self._state = ""
        self._lock = threading.Lock()

    def refresh(self, *, budget_s: float) -> tuple[bool, bool]:
        """Read what is new: (whether anything is, whether more waits to be read)."""
        # Not while somebody looks: columns of one table must be of one length.
        with self._lock:
            changed, more = self._source.refresh(budget_s=budget_s)
        changed |= self._own and self._alerts.refresh()
        state = self._state_now()["state"]
        changed |= state != self._state
        self._state = state
        self.version += changed
        self._waits = more
        return changed, more

    def judge(self) -> bool:
        """Judge what is new, of a long log not every time; whether the verdict is another one now."""
        if self._waits or not self._judge_if_due():
            return False
        self.version += 1
        self._judged_version = self.version
        return True

    def log(self) -> TrainingLog:
        """What there is of it, of this moment."""
        with self._lock:
            if self._log is None or self._log[0] != self.version:
                self._log = (self.version, self._source.log())
            return self._log[1]

    @property
    def is_quiet(self) -> bool:
        """Whether all of it was read, and nothing has come for long."""
        return self._source.read >= 1.0 and time.time() - self._source.newest_at > SILENT_AFTER_S

    @property
    def overview(self) -> bool:
        """Whether the log is still an even sample of a large file that is being read."""
        return self._source.overview

    def score(self) -> Series | None:
        """The curve that runs are compared by."""
        log = self.log()
        precision = next((s for s in log.series if s.name == "AP" and s.mode == "val"), None)
        # Our own runs are compared by AP or not at all: an accuracy on training batches is something else.
        return precision if precision is not None or self._own else assign_roles(log.series).score

    def config(self) -> Path | None:
        """The config beside the log. Next to a single file may lie any program: only what reads as a config is one."""
        path = config_path(self.folder)
        if path is None or self.path.is_dir() or self.folder == self.path:
            return path
        return path if _OF_A_CONFIG & settings_in(config_text(path)).keys() else None

    def summary(self) -> dict[str, Any]:
        """What the list of runs says."""
        log = self.log()
        score = self.score()
        train = [series for series in log.series if series.mode == "train"]
        longest = max(train or log.series, key=lambda series: len(series.steps), default=None)
        epochs = [series.epochs[-1] for series in log.series if np.isfinite(series.epochs[-1])]
        best = (
            int(np.nanargmax(score.values)) if score is not None and np.isfinite(score.values).any() else None
        )
        alerts = self._all_alerts()
        return {
            "id": self.identity,
            "name": self.name,
            "path": str(self.path),
            "format": log.format,
            **self._state_now(),
            "epoch": max(epochs, default=None),
            "total_epochs": log.total_epochs,
            "iteration": int(longest.steps[-1]) if longest is not None else None,
            "num_records": max((len(series.values) for series in train), default=0),
            "score": score.name if score is not None else None,
            "best": float(score.values[best]) if score is not None and best is not None else None,
            "best_epoch": _known(float(score.epochs[best]))
            if score is not None and best is not None
            else None,
            "verdict": self._verdict,
            "alerts": {
                severity: sum(alert.severity == severity for alert, _ in alerts)
                for severity in ("critical", "warning", "info")
            },
            "read": self._source.read,
            "overview": self.overview,
            "notes": list(log.notes),
            "version": self.version,
        }

    def alerts(self, language: str) -> list[dict[str, Any]]:
        """All alerts, by iteration, in `language`."""
        facts = self.facts()
        shown = []
        for alert, source in self._all_alerts():
            if source == "log":
                shown.append(as_data(explained(alert, facts, language), remade=False, source=source))
                continue
            translated, remade = in_language(alert, facts, language)
            shown.append(as_data(translated, remade=remade, source=source))
        return shown

    def facts(self) -> RunFacts:
        """What is known of the run, for advice."""
        log = self.log()
        path = self.config() if self._own else None
        text = config_text(path) if path is not None else ""
        return facts_of(
            self.folder, settings_in(text), text, log_facts=log.facts, total_epochs=log.total_epochs
        )

    def _all_alerts(self) -> Sequence[tuple[Alert, str]]:
        """With who says so: the run's own monitor, or the log. Of one kind the run's own word is enough."""
        written = [(alert, "run") for alert in said_once(self._alerts.alerts)]
        kinds = {alert.kind for alert, _ in written}
        found = [(alert, "log") for alert in self._found if alert.kind not in kinds]
        return sorted(written + found, key=lambda entry: entry[0].iteration)

    def _state_now(self) -> dict[str, Any]:
        """training, silent (since when), or how it ended and why; of a file that tells nothing, that."""
        newest_at = self._source.newest_at
        if self._source.deleted:
            return {"state": "deleted", "why": "", "changed_at": newest_at}
        log = self._log[1] if self._log is not None else None
        found = state_of(self._source.text_path, newest_at=newest_at, log=log)
        state: str = found.state
        if log is not None and not self._waits and not log.series:
            if log.format == "unreadable":
                state = "unreadable"
            elif state == "silent":
                state = "empty"
        return {"state": state, "why": found.why, "changed_at": newest_at}

    def _judge_if_due(self) -> bool:
        if self._judged_version == self.version or time.monotonic() < self._judge_after:
            return False
        started_at = time.monotonic()
        self._judged_version = self.version
        log = self.log()
        if not log.series:
            return False
        is_over = self._state not in ("", "training")
        verdict, found = judge_run(log, said_once(self._alerts.alerts), is_over=is_over)
        # However long a log is, judging it takes a small part of the time.
        self._judge_after = time.monotonic() + 1.0 + 20 * (time.monotonic() - started_at)
        before = (self._verdict, self._found)
        self._verdict, self._found = verdict, found
        return before != (self._verdict, self._found)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
