"""What may be repaired and how much is kept for it, from `settings.monitor`."""

from __future__ import annotations

from sdpose.config.settings import Settings
from sdpose.training.good_states import GoodStates
from sdpose.training.recovery import Recovery
from sdpose.training.repair_shop import RepairRules
from sdpose.training.state import TrainingState

# Logging intervals after which a repair is judged.
CHECK_INTERVALS = 2
# And between two further copies of the state, for faults that are noticed late.
ANCHOR_INTERVALS = 10


def build_recovery(settings: Settings) -> Recovery:
    """What decides."""
    clip = settings.optimizer_config.grad_clip
    check_iterations = CHECK_INTERVALS * settings.log_config.interval
    return Recovery(
        max_repairs=settings.monitor.max_repairs,
        check_iterations=check_iterations,
        cooldown_iterations=2 * check_iterations,
        max_norm=clip.max_norm if clip else None,
    )


def build_good_states(settings: Settings, state: TrainingState) -> GoodStates | None:
    """What one can go back to; None when no copies are wanted."""
    if not settings.monitor.snapshot:
        return None
    return GoodStates(
        state,
        # Inside an accumulation group there is no copy: the one before must still be there.
        num_recent=1 if settings.optimizer_config.cumulative_iters == 1 else 2,
        anchor_iterations=ANCHOR_INTERVALS * settings.log_config.interval
        if settings.monitor.recovers
        else None,
    )


def repair_rules(settings: Settings, epoch_length: int) -> RepairRules:
    """What may be done."""
    monitor = settings.monitor
    return RepairRules(
        recovers=lambda kind: monitor.reaction(kind) == "recover",
        dry_run=monitor.dry_run,
        epoch_length=epoch_length,
        cumulative_iters=settings.optimizer_config.cumulative_iters,
    )
