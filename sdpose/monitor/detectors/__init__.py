"""One fault a file."""

from sdpose.monitor.detectors.loss_spike import LossSpike
from sdpose.monitor.detectors.non_finite import NonFinite
from sdpose.monitor.detectors.performance_drop import PerformanceDrop

__all__ = ["LossSpike", "NonFinite", "PerformanceDrop"]
