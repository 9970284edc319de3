"""What the user is told of a repair."""

from __future__ import annotations

import time
from typing import Any

from sdpose.monitor import Alert, RunFacts
from sdpose.monitor.alert import Severity
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.language import choose_language
from sdpose.training.progress import Progress
from sdpose.training.repair import Repair


def repair_alert(repair: Repair, now: Progress, max_repairs: int, facts: RunFacts, *, dry_run: bool) -> Alert:
    """A repair is made, or would be."""
    evidence = {**_evidence(repair), "most": max_repairs, "dry_run": dry_run}
    return _alert("recovery", "warning", evidence, now, facts)


def helped_alert(repair: Repair, now: Progress, facts: RunFacts) -> Alert:
    """It has proved itself."""
    return _alert("recovery", "info", {**_evidence(repair), "helped": True}, now, facts)


def lost_alert(repair: Repair, why: str, now: Progress, max_repairs: int, facts: RunFacts) -> Alert:
    """Nothing more is tried. `repair` is what would have come next."""
    evidence = {
        "cause": repair.fault.kind,
        "cause_iteration": repair.onset,
        "number": repair.attempt - 1,
        "most": max_repairs,
        "reason": why,
    }
    return _alert("recovery_failed", "critical", evidence, now, facts)


def _evidence(repair: Repair) -> dict[str, Any]:
    steps: dict[str, str] = {}
    if repair.skipped:
        steps["skip"] = ", ".join(map(str, sorted(repair.skipped)))
    if repair.measure is not None and repair.measure.max_norm is not None:
        steps["clip"] = f"{repair.measure.max_norm:.3g}"
    if repair.measure is not None and repair.measure.lr_factor != 1.0:
        steps["lower_lr"] = f"x {repair.measure.lr_factor:.3g}"
    steps["roll_back"] = f"iteration {repair.go_back_to}"
    return {
        "cause": repair.fault.kind,
        "cause_iteration": repair.onset,
        "steps": steps,
        "number": repair.attempt,
    }


def _alert(kind: str, severity: Severity, evidence: dict[str, Any], now: Progress, facts: RunFacts) -> Alert:
    finding = Finding(
        kind=kind,
        severity=severity,
        epoch=now.epoch + 1,
        iteration=now.iteration,
        metric=None,
        value=None,
        evidence=evidence,
        time=time.time(),
    )
    return explain(finding, facts, choose_language(facts.language))
