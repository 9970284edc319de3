"""The guide's path to the two monitoring hooks, kept so that its commands and old configs go on working.
The hooks themselves live in `sdpose.monitor`; nothing else is here."""

from sdpose.monitor import DetailedLossLogHook, TrainingMonitorHook

__all__ = ["DetailedLossLogHook", "TrainingMonitorHook"]
