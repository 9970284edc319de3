"""One fault a file; `live_detectors` sets up those of a running training."""

from sdpose.monitor.detectors.always_clipped import AlwaysClipped
from sdpose.monitor.detectors.behind_schedule import BehindSchedule
from sdpose.monitor.detectors.data_starvation import DataStarvation
from sdpose.monitor.detectors.dead_heatmaps import DeadHeatmaps
from sdpose.monitor.detectors.dead_tokens import DeadTokens
from sdpose.monitor.detectors.disk_low import DiskLow
from sdpose.monitor.detectors.divergence import Divergence
from sdpose.monitor.detectors.gradient_explosion import GradientExplosion
from sdpose.monitor.detectors.gradient_vanishing import GradientVanishing
from sdpose.monitor.detectors.live import live_detectors
from sdpose.monitor.detectors.loss_spike import LossSpike
from sdpose.monitor.detectors.loss_term_missing import LossTermMissing
from sdpose.monitor.detectors.loss_term_swallowing import LossTermSwallowing
from sdpose.monitor.detectors.loss_term_zero import LossTermZero
from sdpose.monitor.detectors.lr_unexpected import LrUnexpected
from sdpose.monitor.detectors.memory_growth import MemoryGrowth
from sdpose.monitor.detectors.metric_collapse import MetricCollapse
from sdpose.monitor.detectors.no_learning import NoLearning
from sdpose.monitor.detectors.non_finite import NonFinite
from sdpose.monitor.detectors.overfitting import Overfitting
from sdpose.monitor.detectors.performance_drop import PerformanceDrop
from sdpose.monitor.detectors.plateau import Plateau
from sdpose.monitor.detectors.ranks_disagree import RanksDisagree
from sdpose.monitor.detectors.rising_val_loss import RisingValLoss
from sdpose.monitor.detectors.saturated_heatmaps import SaturatedHeatmaps
from sdpose.monitor.detectors.throughput_drop import ThroughputDrop

__all__ = [
    "AlwaysClipped",
    "BehindSchedule",
    "DataStarvation",
    "DeadHeatmaps",
    "DeadTokens",
    "DiskLow",
    "Divergence",
    "GradientExplosion",
    "GradientVanishing",
    "LossSpike",
    "LossTermMissing",
    "LossTermSwallowing",
    "LossTermZero",
    "LrUnexpected",
    "MemoryGrowth",
    "MetricCollapse",
    "NoLearning",
    "NonFinite",
    "Overfitting",
    "PerformanceDrop",
    "Plateau",
    "RanksDisagree",
    "RisingValLoss",
    "SaturatedHeatmaps",
    "ThroughputDrop",
    "live_detectors",
]
