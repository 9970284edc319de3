"""An alert as lines of a log: its message, then one line a cause and one line an action."""

from __future__ import annotations

from sdpose.monitor.advice.compose import TEXTS
from sdpose.monitor.alert import Alert


def alert_lines(alert: Alert) -> list[str]:
    """What to print, line by line; the first lines are the alert's message and nothing else."""
    text = TEXTS[alert.language]
    causes = [f"   {text['label_cause']} {i}: {cause}" for i, cause in enumerate(alert.causes, start=1)]
    actions = [f"   {text['label_action']} {i}: {action}" for i, action in enumerate(alert.actions, start=1)]
    return [*alert.message.splitlines(), *causes, *actions]
