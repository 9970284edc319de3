"""One fault a file."""

from sdpose.monitor.detector import Detector
from sdpose.monitor.detectors.divergence import Divergence
from sdpose.monitor.detectors.loss_spike import LossSpike
from sdpose.monitor.detectors.metric_collapse import MetricCollapse
from sdpose.monitor.detectors.no_learning import NoLearning
from sdpose.monitor.detectors.non_finite import NonFinite
from sdpose.monitor.detectors.overfitting import Overfitting
from sdpose.monitor.detectors.performance_drop import PerformanceDrop
from sdpose.monitor.detectors.plateau import Plateau
from sdpose.monitor.hooks import RunFacts

__all__ = [
    "Divergence",
    "LossSpike",
    "MetricCollapse",
    "NoLearning",
    "NonFinite",
    "Overfitting",
    "PerformanceDrop",
    "Plateau",
    "live_detectors",
]


def live_detectors(facts: RunFacts) -> dict[str, Detector]:
    """Those that need more than losses and scores (H3 fills this in)."""
    return {}
