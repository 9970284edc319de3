"""Makes an alert of a finding: the message, the causes and the actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sdpose.monitor import guide_text
from sdpose.monitor.advice import advise
from sdpose.monitor.alert import Alert
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts


def explain(finding: Finding, facts: RunFacts, language: str) -> Alert:
    """The alert for a finding of the built-in detectors, its advice in `language` ("en" or "ko")."""
    advice = advise(finding, facts, language)
    return Alert(
        kind=finding.kind,
        severity=finding.severity,
        epoch=finding.epoch,
        iteration=finding.iteration,
        metric=finding.metric,
        value=finding.value,
        message=_MESSAGES[finding.kind](finding),
        evidence=finding.evidence,
        causes=advice.causes,
        actions=advice.actions,
        language=language,
        time=finding.time,
    )


def _loss_spike(finding: Finding) -> str:
    evidence = finding.evidence
    return guide_text.loss_spike(
        current=evidence["current"], recent_average=evidence["recent_average"], ratio=evidence["ratio"]
    )


def _performance_drop(finding: Finding) -> str:
    evidence = finding.evidence
    return guide_text.performance_drop(
        metric=finding.metric or "AP",
        current=evidence["current"],
        best=evidence["best"],
        drop=evidence["drop"],
    )


def _non_finite(finding: Finding) -> str:
    return guide_text.non_finite(
        epoch=finding.epoch, iteration=finding.iteration, values=finding.evidence["values"]
    )


_MESSAGES: Mapping[str, Callable[[Finding], str]] = {
    "loss_spike": _loss_spike,
    "performance_drop": _performance_drop,
    "non_finite": _non_finite,
}
