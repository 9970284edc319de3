"""`alerts.jsonl`: every alert of a run, one strict JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sdpose.monitor.alert import Alert


class AlertFile:
    """Appends alerts to a file. It can never stop training: the first failure is said, then it is silent.

    A resumed run goes on in the same file, so alerts of iterations that are done again stand there twice.
    """

    def __init__(self, path: Path, *, log: Callable[[str], None]) -> None:
        self.path = path
        self._log = log
        self._failed = False

    def write(self, alerts: Sequence[Alert]) -> None:
        """Append them and hand them to the operating system at once, so that a killed run loses none."""
        if not alerts or self._failed:
            return
        try:
            self._append("".join(alert.to_json() + "\n" for alert in alerts))
        except (OSError, TypeError, ValueError) as error:
            self._failed = True
            self._log(f"alerts are no longer written to {self.path}: {type(error).__name__}: {error}")

    def _append(self, text: str) -> None:
        with self.path.open("ab+") as file:
            if file.tell() > 0:
                # A run that was killed while writing left half a line: ours must not be glued to it.
                file.seek(-1, os.SEEK_END)
                text = text if file.read(1) == b"\n" else "\n" + text
            file.write(text.encode())


def read_alerts(path: Path) -> list[Alert]:
    """All alerts of an `alerts.jsonl`, none where there is no such file; half a line of a killed run is passed over."""
    if not path.exists():
        return []
    alerts = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            alerts.append(Alert.from_json(line))
        except ValueError:
            continue
    return alerts


def said_once(alerts: Sequence[Alert]) -> list[Alert]:
    """Without what a resumed run said again of the same iteration: the later words count. By iteration."""
    last = {(alert.kind, alert.iteration, alert.metric): alert for alert in alerts}
    return sorted(last.values(), key=lambda alert: alert.iteration)
