"""What is said about each fault, in English and Korean: the message, why probably, and what to do.

Each kind is one function, in the file of its group, with its sentences in both languages above it. A change is
concrete where the run's facts allow it: `max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)`.
For runs of others, of which nothing is known, the same sentences stand without our commands and settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sdpose.monitor.advice import gradients, loss, machine, model, repair, score
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

KINDS: Mapping[str, Callable[[Case], Advice]] = {
    "non_finite": loss.non_finite,
    "loss_spike": loss.loss_spike,
    "divergence": loss.divergence,
    "no_learning": loss.no_learning,
    "metric_zero": score.metric_zero,
    "metric_collapse": score.metric_collapse,
    "performance_drop": score.performance_drop,
    "overfitting": score.overfitting,
    "plateau": score.plateau,
    "behind_schedule": score.behind_schedule,
    "gradient_explosion": gradients.gradient_explosion,
    "gradient_vanishing": gradients.gradient_vanishing,
    "always_clipped": gradients.always_clipped,
    "lr_unexpected": gradients.lr_unexpected,
    "dead_heatmaps": model.dead_heatmaps,
    "saturated_heatmaps": model.saturated_heatmaps,
    "dead_tokens": model.dead_tokens,
    "loss_term_missing": model.loss_term_missing,
    "loss_term_zero": model.loss_term_zero,
    "loss_term_swallowing": model.loss_term_swallowing,
    "ranks_disagree": machine.ranks_disagree,
    "data_starvation": machine.data_starvation,
    "throughput_drop": machine.throughput_drop,
    "memory_growth": machine.memory_growth,
    "disk_low": machine.disk_low,
    "recovery": repair.recovery,
    "recovery_failed": repair.recovery_failed,
}


def advise(finding: Finding, facts: RunFacts, language: str) -> Advice:
    """The texts for a finding, in `language` ("en" or "ko")."""
    return KINDS[finding.kind](Case(finding, facts, language))


__all__ = ["KINDS", "Advice", "advise"]
