"""An alert as entries of a log: its message, then one line a cause and one line an action."""

from __future__ import annotations

from sdpose.monitor.advice.compose import TEXTS
from sdpose.monitor.alert import Alert


def alert_lines(alert: Alert) -> list[str]:
    """What to log, entry by entry. The first is the message, whole: the guide's text stays in one piece."""
    text = TEXTS[alert.language]
    causes = [f"   {text['label_cause']} {i}: {cause}" for i, cause in enumerate(alert.causes, start=1)]
    actions = [f"   {text['label_action']} {i}: {action}" for i, action in enumerate(alert.actions, start=1)]
    return [alert.message, *causes, *actions]
