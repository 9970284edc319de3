"""An alert in the reader's language, from what it was made of."""

from __future__ import annotations

from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

_UNKNOWN = (KeyError, TypeError, ValueError, AttributeError)


def in_language(alert: Alert, facts: RunFacts, language: str) -> tuple[Alert, bool]:
    """The alert in `language`, and whether its advice had to be made anew from less than the run knew.

    A kind that this version does not know stays as it was written.
    """
    if alert.language == language:
        return alert, False
    finding = _finding(alert)
    try:
        again = explain(finding, facts, alert.language)
        translated = explain(finding, facts, language)
    except _UNKNOWN:
        # Written by another version, or by a user's own hook.
        return alert, False
    return translated, again.actions != alert.actions


def explained(alert: Alert, facts: RunFacts, language: str) -> Alert:
    """An alert that was found in the log, with advice for the run whose log it is."""
    return explain(_finding(alert), facts, language)


def _finding(alert: Alert) -> Finding:
    return Finding(
        kind=alert.kind,
        severity=alert.severity,
        epoch=alert.epoch,
        iteration=alert.iteration,
        metric=alert.metric,
        value=alert.value,
        evidence=alert.evidence,
        time=alert.time or 0.0,
    )
