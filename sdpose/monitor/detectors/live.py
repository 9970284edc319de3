"""Which detectors a running training gets beside those that losses and scores suffice for, and how they are set up."""

from __future__ import annotations

import math

from sdpose.monitor.detector import Detector
from sdpose.monitor.detectors.always_clipped import AlwaysClipped
from sdpose.monitor.detectors.behind_schedule import BehindSchedule
from sdpose.monitor.detectors.data_starvation import DataStarvation
from sdpose.monitor.detectors.dead_heatmaps import DeadHeatmaps
from sdpose.monitor.detectors.dead_tokens import DeadTokens
from sdpose.monitor.detectors.disk_low import DiskLow
from sdpose.monitor.detectors.gradient_explosion import GradientExplosion
from sdpose.monitor.detectors.gradient_vanishing import GradientVanishing
from sdpose.monitor.detectors.loss_term_missing import LossTermMissing
from sdpose.monitor.detectors.loss_term_swallowing import LossTermSwallowing
from sdpose.monitor.detectors.loss_term_zero import LossTermZero
from sdpose.monitor.detectors.lr_unexpected import LrUnexpected
from sdpose.monitor.detectors.memory_growth import MemoryGrowth
from sdpose.monitor.detectors.ranks_disagree import RanksDisagree
from sdpose.monitor.detectors.saturated_heatmaps import SaturatedHeatmaps
from sdpose.monitor.detectors.throughput_drop import ThroughputDrop
from sdpose.monitor.hooks import RunFacts

# Of every published model; each is there in every iteration.
SDPOSE_TERMS = ("heatmap_loss", "vis_dist_loss", "kpt_dist_loss")
# A run as long and as large as those that the guide's table is about: COCO's train2017 has 149,813 people.
COMPARABLE_EPOCHS = 50
COMPARABLE_PEOPLE = 100_000
# How many people a model may see before its heatmaps must show something: one epoch of COCO.
GRACE_PEOPLE = 150_000
# A short run is looked at more often: so many checks it shall have. What concerns its speed has rougher numbers.
CHECKS_A_RUN, SPEED_CHECKS_A_RUN = 40, 16
# Data workers start with an epoch; of a short one not all can be left out.
STARTING_SHARE, STARTING_MOST = 0.1, 10


def live_detectors(facts: RunFacts) -> dict[str, Detector]:
    """A detector for each fault that this run can have, by the fault's kind."""
    warmup, start = facts.warmup_iterations, facts.start_iteration
    total = facts.total_iterations
    interval = _interval(total, CHECKS_A_RUN, at_most=50)
    starting = STARTING_MOST
    if facts.epoch_length is not None:
        starting = min(STARTING_MOST, math.ceil(STARTING_SHARE * facts.epoch_length))
    detectors: dict[str, Detector] = {
        "gradient_explosion": GradientExplosion(),
        "gradient_vanishing": GradientVanishing(check_interval=interval, warmup_iterations=warmup),
        "dead_heatmaps": DeadHeatmaps(check_interval=interval, grace_iterations=_grace_iterations(facts)),
        "saturated_heatmaps": SaturatedHeatmaps(check_interval=interval),
        "loss_term_missing": LossTermMissing(
            expected=SDPOSE_TERMS if facts.variant is not None else (), start_iteration=start
        ),
        "loss_term_zero": LossTermZero(),
        "loss_term_swallowing": LossTermSwallowing(check_interval=interval),
        "ranks_disagree": RanksDisagree(),
        "data_starvation": DataStarvation(
            check_interval=_interval(total, SPEED_CHECKS_A_RUN, at_most=100),
            num_skipped=starting,
            start_iteration=start,
        ),
        "throughput_drop": ThroughputDrop(
            check_interval=_interval(total, SPEED_CHECKS_A_RUN, at_most=50),
            num_skipped=starting,
            start_iteration=start,
        ),
        "memory_growth": MemoryGrowth(total_iterations=total, start_iteration=start),
        "disk_low": DiskLow(
            checkpoint_mib=facts.checkpoint_mib, checkpoint_iterations=_checkpoint_iterations(facts)
        ),
        "lr_unexpected": LrUnexpected(),
    }
    if facts.samples_per_gpu != 1:
        # One picture a batch differs from no other.
        detectors["dead_tokens"] = DeadTokens(check_interval=interval)
    if facts.max_norm is not None:
        detectors["always_clipped"] = AlwaysClipped(max_norm=facts.max_norm, warmup_iterations=warmup)
    if facts.total_epochs is not None and _is_comparable(facts):
        detectors["behind_schedule"] = BehindSchedule(total_epochs=facts.total_epochs)
    return detectors


def _interval(total_iterations: int | None, num_checks: int, *, at_most: int) -> int:
    """Iterations of a check, 10 to `at_most`."""
    return at_most if total_iterations is None else min(max(total_iterations // num_checks, 10), at_most)


def _is_comparable(facts: RunFacts) -> bool:
    """Whether the guide's table says anything about this run: a published model, long, on a set of COCO's size."""
    people = (facts.epoch_length or 0) * (_batch_size(facts) or 0)
    long_enough = (facts.total_epochs or 0) >= COMPARABLE_EPOCHS
    return facts.variant is not None and long_enough and people >= COMPARABLE_PEOPLE


def _grace_iterations(facts: RunFacts) -> int:
    batch_size = _batch_size(facts)
    enough = 3000 if batch_size is None else math.ceil(GRACE_PEOPLE / batch_size)
    return max(2000, enough, 3 * facts.warmup_iterations)


def _checkpoint_iterations(facts: RunFacts) -> int | None:
    if not facts.checkpoint_interval or facts.checkpoint_interval < 1 or not facts.epoch_length:
        return None
    return facts.checkpoint_interval * facts.epoch_length


def _batch_size(facts: RunFacts) -> int | None:
    """People an iteration sees over all processes."""
    return None if facts.samples_per_gpu is None else facts.samples_per_gpu * facts.num_processes
