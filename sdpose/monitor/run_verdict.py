"""The verdict on a run: that on its log, and what makes a log without faults no good news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts
from sdpose.monitor.judge import FEW_POINTS, Verdict, diagnose
from sdpose.monitor.log_roles import assign_roles
from sdpose.monitor.readers import TrainingLog

RunVerdict = Verdict | Literal["zero_score", "too_short", "alarmed", "repaired", "warned"]
# 0.00 as people read it: nobody is found.
NOTHING = 0.005


def judge_run(
    log: TrainingLog, alerts: Sequence[Alert], *, is_over: bool
) -> tuple[RunVerdict, tuple[Alert, ...]]:
    """The verdict on a run whose monitor raised `alerts`, and what its log shows now.

    The latter in English and without its config: `alert_language.explained` says it to a reader. Of a run that
    `is_over` no evaluation is to come.
    """
    diagnosis = diagnose(log, language="en")
    verdict, found = run_verdict(diagnosis.verdict, log, alerts), diagnosis.alerts
    told = any(alert.kind == "metric_zero" for alert in found)
    if verdict == "zero_score" and is_over and not told and (nothing := zero_score(log)) is not None:
        found = (*found, explain(nothing, RunFacts(), "en"))
    return verdict, found


def run_verdict(verdict: Verdict, log: TrainingLog, alerts: Sequence[Alert]) -> RunVerdict:
    """What to say first of a run whose `log` was judged `verdict` and whose monitor raised `alerts`.

    A log is healthy when no fault shows in it. A run is not, when nobody is found in any of its evaluations, when there
    is too little to judge, or when its monitor, which sees more than the log, called. A score that never left zero is
    told from one that fell to it.
    """
    if verdict in ("healthy", "metric_collapse") and zero_score(log) is not None:
        return "zero_score"
    if verdict != "healthy":
        return verdict
    if any(alert.severity == "critical" for alert in alerts):
        return "alarmed" if unrepaired(alerts) else "repaired"
    roles = assign_roles(log.series)
    loss = roles.train_loss or roles.val_loss
    evaluated = roles.score is not None and roles.score.mode == "val"
    short = not evaluated and (loss is None or len(loss.values) < FEW_POINTS)
    if short:
        return "too_short"
    return "warned" if any(_warns(alert) for alert in alerts) else "healthy"


def zero_score(log: TrainingLog) -> Finding | None:
    """That the score was 0 in all evaluations, however few; None where there are none, or one found something.

    The detectors of a live run wait for several evaluations. A run that has ended has no more to come.
    """
    score = assign_roles(log.series).score
    if score is None or score.mode != "val":
        return None
    known = np.flatnonzero(np.isfinite(score.values))
    if not len(known) or float(np.abs(score.values[known]).max()) >= NOTHING:
        return None
    first, last = known[0], known[-1]
    epochs = np.nan_to_num(score.epochs)
    return Finding(
        kind="metric_zero",
        severity="critical",
        epoch=int(epochs[last]),
        iteration=int(score.steps[last]),
        metric=score.name,
        value=float(score.values[last]),
        evidence={
            "current": float(score.values[last]),
            "num_evaluations": len(known),
            "first_epoch": float(epochs[first]),
        },
        time=0.0,
    )


def _warns(alert: Alert) -> bool:
    # That a repair is made is no fault of its own.
    return alert.severity == "warning" and alert.kind != "recovery"


def unrepaired(alerts: Sequence[Alert]) -> list[Alert]:
    """The critical alerts that no repair which helped came after."""
    helped = [
        alert.iteration for alert in alerts if alert.kind == "recovery" and alert.evidence.get("helped")
    ]
    newest = max(helped, default=-1)
    return [alert for alert in alerts if alert.severity == "critical" and alert.iteration > newest]
