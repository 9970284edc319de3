"""Case set (a): labelled logs of other people's trainings, read and judged after the fact."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scores.cases import HEALTHY, Alarm, Outcome, Truth
from benchmarks.scores.peers import Curve, Curves

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("SDPOSE_SHARED", REPOSITORY.parent / "shared")) / "data" / "logs"

# Ours for the labels of labels.json.
_LABELS = {"spike_recovered": "spike"}
# Steps in which the first alarm should stand, read off the curves; runs without an entry are bad all the way.
_WINDOWS: Mapping[str, tuple[float, float]] = {
    "BesT1CooKie1__nn_oedometer__d6434e__metrics.csv": (0, 400),
    "Macro1027__Simple-Pendulum-PINN__1b8068__metrics.csv": (1400, 1440),
}
_KIND_VERDICTS = {
    "non_finite": "nan",
    "divergence": "diverged",
    "metric_collapse": "metric_collapse",
    "metric_zero": "metric_collapse",
    "performance_drop": "metric_collapse",
    "no_learning": "no_learning",
    "overfitting": "overfit",
    "loss_spike": "spike",
}


@dataclass(frozen=True)
class RealLog:
    """One labelled file."""

    path: Path
    label: str
    confidence: str
    where: str


def labelled_logs(folder: Path = FOLDER) -> list[RealLog]:
    """What labels.json lists. Raises FileNotFoundError where the folder is not there."""
    entries: list[dict[str, Any]] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return [
        RealLog(
            folder / entry["file"],
            _LABELS.get(entry["label"], entry["label"]),
            entry["confidence"],
            entry["where"],
        )
        for entry in entries
    ]


def judge_log(entry: RealLog) -> tuple[Outcome, Curves | None]:
    """What `sdpose diagnose` says, and the curves for the other rules (None where the file was not read)."""
    from sdpose.monitor.judge import diagnose
    from sdpose.monitor.log_roles import assign_roles
    from sdpose.monitor.readers import UnreadableLog, read_log

    name = f"{entry.path.parent.name}/{entry.path.name}"
    truth = Truth(
        name=name,
        verdicts=(entry.label,),
        num_records=0,
        is_faulty=entry.label != HEALTHY,
        window=_WINDOWS.get(entry.path.name),
        fault=entry.label,
    )
    try:
        log = read_log(entry.path)
    except UnreadableLog as error:
        return Outcome(truth=truth, alarms=(), verdict="unreadable", failed=str(error)), None
    rows = {int(row) for series in log.series for row in series.rows}
    truth = Truth(**{**truth.__dict__, "num_records": len(rows)})
    diagnosis = diagnose(log, language="en")
    alarms = tuple(
        Alarm(
            kind=alert.kind,
            severity=alert.severity,
            place=float(alert.iteration),
            verdict=_KIND_VERDICTS.get(alert.kind),
        )
        for alert in diagnosis.alerts
    )
    roles = assign_roles(log.series)
    loss = roles.train_loss or roles.val_loss
    metric = roles.score or roles.val_loss
    curves = Curves(
        loss=_curve(loss),
        all_losses=tuple(_curve(series) for series in roles.losses),
        metric=_as_share(_curve(metric)) if roles.score is not None else _curve(metric),
        higher_is_better=roles.score is not None,
    )
    return Outcome(truth=truth, alarms=alarms, verdict=diagnosis.verdict), curves


def _curve(series: Any) -> Curve:
    if series is None:
        return ()
    return tuple(zip(map(float, series.steps), map(float, series.values), strict=True))


def _as_share(curve: Curve) -> Curve:
    """Percent become shares, so that 0.05 means the same everywhere."""
    finite = [value for _, value in curve if math.isfinite(value)]
    if not finite or np.median(finite) <= 1.5:
        return curve
    return tuple((place, value / 100.0) for place, value in curve)
