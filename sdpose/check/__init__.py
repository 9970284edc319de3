"""The pre-flight check: does everything work, before the days are spent? One question a file, each with its cure."""

from sdpose.check.line import CheckLine, Status
from sdpose.check.quick_check import QUESTIONS, quick_check

__all__ = ["QUESTIONS", "CheckLine", "Status", "quick_check"]
