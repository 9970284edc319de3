"""An alert as entries of a log: its message, then a line for each cause, each action, and where to read more."""

from __future__ import annotations

from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.alert import Alert

CAUSE = Phrase("Probable cause", "가능한 원인", guide=True)
ACTION = Phrase("Action", "조치", guide=True)
MORE = Phrase("More", "참고")


def alert_lines(alert: Alert) -> list[str]:
    """What to log, entry by entry. The first is the message, whole: the guide's text stays in one piece."""
    cause, action, more = (phrase.say(alert.language) for phrase in (CAUSE, ACTION, MORE))
    causes = [f"   {cause} {i}: {text}" for i, text in enumerate(alert.causes, start=1)]
    actions = [f"   {action} {i}: {text}" for i, text in enumerate(alert.actions, start=1)]
    return [alert.message, *causes, *actions, *([f"   {more}: {alert.doc}"] if alert.doc else [])]
