"""Readers of training logs: ours and other people's, one format a file. Standard library and numpy."""

from sdpose.monitor.readers.detect import read_log
from sdpose.monitor.readers.log import Series, TrainingLog, UnreadableLog

__all__ = ["Series", "TrainingLog", "UnreadableLog", "read_log"]
