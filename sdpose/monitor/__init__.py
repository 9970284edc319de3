"""Watches a run: records in, alerts out. Needs numpy at most; knows no torch and no framework."""

from sdpose.monitor.alert import Alert
from sdpose.monitor.alert_file import AlertFile, read_alerts
from sdpose.monitor.alert_text import alert_lines
from sdpose.monitor.detailed_loss_log import DetailedLossLogHook
from sdpose.monitor.hooks import Hook, RunFacts
from sdpose.monitor.monitor import Monitor
from sdpose.monitor.record import Record
from sdpose.monitor.training_monitor import TrainingMonitorHook

__all__ = [
    "Alert",
    "AlertFile",
    "DetailedLossLogHook",
    "Hook",
    "Monitor",
    "Record",
    "RunFacts",
    "TrainingMonitorHook",
    "alert_lines",
    "read_alerts",
]
