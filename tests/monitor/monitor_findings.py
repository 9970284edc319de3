"""Runs of which nothing, little or everything is known, and a finding of each kind as its detector makes it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sdpose.monitor import RunFacts
from sdpose.monitor.alert import Severity
from sdpose.monitor.finding import Finding

NOBODYS = RunFacts()
OURS = RunFacts(
    variant="sdpose_s_v1",
    config_path="configs/x.py",
    work_dir=Path("work_dirs/x"),
    total_epochs=300,
    epoch_length=2341,
    lr=1e-3,
    max_norm=5.0,
    samples_per_gpu=64,
    workers_per_gpu=2,
    num_processes=8,
    warmup_iterations=500,
    checkpoint_interval=10,
)
FACTS = [NOBODYS, RunFacts(lr=2e-3), OURS]

# kind -> metric, severity, evidence.
KINDS: dict[str, tuple[str | None, Severity, dict[str, Any]]] = {
    "non_finite": (
        "loss",
        "critical",
        {"mode": "train", "values": {"loss": math.nan, "weights_broken": 3.0}, "finite": ["lr"]},
    ),
    "loss_spike": (
        "loss",
        "warning",
        {
            "current": 3.0,
            "recent_average": 1.0,
            "ratio": 3.0,
            "loss_spike_threshold": 2.0,
            "first_iteration": 951,
        },
    ),
    "divergence": (
        "loss",
        "critical",
        {"current": 3.0, "best": 1.0, "best_iteration": 500, "ratio": 3.0, "first_iteration": 800},
    ),
    "no_learning": (
        "loss",
        "critical",
        {
            "first": 0.0056,
            "last": 0.0055,
            "change": 0.01,
            "spread": 0.0001,
            "num_points": 40,
            "plateau": True,
            "first_iteration": 1,
        },
    ),
    "metric_zero": ("AP", "critical", {"current": 0.0, "num_evaluations": 3, "first_epoch": 5}),
    "metric_collapse": (
        "AP",
        "critical",
        {"current": 0.01, "best": 0.7, "best_epoch": 50, "num_evaluations": 1},
    ),
    "performance_drop": (
        "AP",
        "warning",
        {
            "current": 0.6,
            "best": 0.7,
            "best_epoch": 50,
            "drop": 0.1,
            "performance_drop_threshold": 0.05,
            "low": 0.08,
            "high": 0.12,
            "details": {"moved": {"joints": {"left_wrist": -0.09}, "errors": {"swap": 0.11}}},
        },
    ),
    "overfitting": (
        "AP",
        "warning",
        {"best": 0.7, "best_epoch": 50, "current": 0.66, "train_first": 0.002, "train_last": 0.001},
    ),
    "plateau": (
        "AP",
        "info",
        {"best": 0.7, "best_epoch": 50, "num_evaluations": 10, "gain": 0.001, "noise": 0.003},
    ),
    "behind_schedule": (
        "AP",
        "warning",
        {
            "current": 0.42,
            "expected": 0.55,
            "least": 0.5,
            "total_epochs": 300,
            "guide_epoch": 50.0,
            "missed_milestone": True,
            "first_epoch": 50,
        },
    ),
    "gradient_explosion": (
        "grad_norm",
        "warning",
        {"current": 30.0, "level": 0.05, "ratio": 600.0, "first_iteration": 981},
    ),
    "gradient_vanishing": (
        "grad_norm",
        "warning",
        {"current": 1e-9, "level": 0.05, "first_iteration": 901},
    ),
    "always_clipped": (
        "grad_norm",
        "info",
        {
            "share": 0.99,
            "max_norm": 0.01,
            "typical": 0.04,
            "ratio": 4.0,
            "num_steps": 1000,
            "first_iteration": 1,
        },
    ),
    "lr_unexpected": (
        "lr",
        "warning",
        {"current": 1e-4, "expected": 1e-3, "ratio": 0.1, "first_iteration": 999},
    ),
    "dead_heatmaps": (
        "heatmap_flat",
        "critical",
        {"share": 0.99, "alive_until": 900, "heatmap_peak": 0.01, "first_iteration": 901},
    ),
    "saturated_heatmaps": (
        "heatmap_max",
        "warning",
        {"current": 12.0, "saturated_heatmaps_threshold": 3.0, "heatmap_peak": 4.0, "first_iteration": 901},
    ),
    "dead_tokens": (
        "kpt_token_std",
        "warning",
        {"current": 1e-9, "level": 0.01, "dead_tokens_threshold": 0.01, "first_iteration": 901},
    ),
    "loss_term_missing": (
        "vis_dist_loss",
        "warning",
        {"missing": ["vis_dist_loss"], "present": ["heatmap_loss"], "first_iteration": 981},
    ),
    "loss_term_zero": (
        "vis_dist_loss",
        "info",
        {
            "has_lived": False,
            "num_iterations": 100,
            "first_iteration": 1,
            "others": {"heatmap_loss": 0.005},
        },
    ),
    "loss_term_swallowing": (
        "vis_dist_loss",
        "warning",
        {
            "share": 0.99,
            "main": "heatmap_loss",
            "main_share": 0.01,
            "terms": {"heatmap_loss": 0.1, "vis_dist_loss": 300.0},
            "first_iteration": 901,
        },
    ),
    "ranks_disagree": (
        "rank_spread",
        "critical",
        {
            "rank": 1,
            "deviation": 0.8,
            "loss_per_rank": [0.001, 0.0018],
            "num_intervals": 8,
            "first_iteration": 600,
        },
    ),
    "data_starvation": (
        "data_time",
        "info",
        {"share": 0.45, "data_time": 0.2, "time": 0.44, "first_iteration": 801},
    ),
    "throughput_drop": (
        "time",
        "info",
        {"current": 0.9, "level": 0.3, "ratio": 3.0, "lost_s": 120.0, "first_iteration": 801},
    ),
    "memory_growth": (
        "memory",
        "warning",
        {
            "current": 9000.0,
            "first": 3000.0,
            "growth": 6000.0,
            "per_1000_iterations": 500.0,
            "at_the_end": 40000.0,
            "first_iteration": 1,
        },
    ),
    "disk_low": (
        "disk_free_mib",
        "critical",
        {
            "free": 500.0,
            "needed": 300.0,
            "filling_per_1000_iterations": 900.0,
            "iterations_left": 400,
            "already": False,
        },
    ),
    "recovery": (
        None,
        "warning",
        {
            "cause": "non_finite",
            "cause_iteration": 990,
            "steps": {"skip": "990", "roll_back": "iteration 950"},
            "number": 1,
            "most": 3,
        },
    ),
    "recovery_failed": (
        None,
        "critical",
        {"cause": "non_finite", "number": 3, "most": 3, "reason": "no good state is left"},
    ),
}


def finding(kind: str, *, epoch: int = 100, value: float | None = None, **evidence: Any) -> Finding:
    """One of that kind; `evidence` replaces some of its numbers, `value` also its "current"."""
    metric, severity, usual = KINDS[kind]
    changed = {**usual, **evidence}
    if value is not None and "current" in usual:
        changed["current"] = value
        if kind == "performance_drop":
            changed["drop"] = changed["best"] - value
    return Finding(
        kind=kind,
        severity=severity,
        epoch=epoch,
        iteration=1000,
        metric=metric,
        value=value if value is not None else changed.get("current"),
        evidence=changed,
        time=0.0,
    )
