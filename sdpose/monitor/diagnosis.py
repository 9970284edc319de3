"""Makes an alert of a finding: the message, the causes and the actions."""

from __future__ import annotations

from sdpose.monitor.advice import advise
from sdpose.monitor.alert import Alert
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

# One heading a kind.
DOC = "docs/monitor.md#{kind}"


def explain(finding: Finding, facts: RunFacts, language: str) -> Alert:
    """The alert for a finding of the built-in detectors, in `language` ("en" or "ko").

    With empty facts (the log of somebody else's run) the advice is general and names none of our commands.
    """
    advice = advise(finding, facts, language)
    return Alert(
        kind=finding.kind,
        severity=finding.severity,
        epoch=finding.epoch,
        iteration=finding.iteration,
        metric=finding.metric,
        value=finding.value,
        message=advice.message,
        evidence=finding.evidence,
        causes=advice.causes,
        actions=advice.actions,
        doc=DOC.format(kind=finding.kind),
        language=language,
        time=finding.time,
    )
