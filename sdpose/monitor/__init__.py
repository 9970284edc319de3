"""Watches a run: records in, alerts out. Needs numpy at most; knows no torch and no framework."""

from sdpose.monitor.alert import Alert
from sdpose.monitor.hooks import Hook, RunFacts
from sdpose.monitor.monitor import Monitor
from sdpose.monitor.record import Record

__all__ = ["Alert", "Hook", "Monitor", "Record", "RunFacts"]
