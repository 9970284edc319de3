"""A run that is fully known, and a finding of each kind."""

from __future__ import annotations

import math
from pathlib import Path

from sdpose.monitor import RunFacts
from sdpose.monitor.finding import Finding

FACTS = [
    RunFacts(),
    RunFacts(
        config_path="configs/x.py",
        work_dir=Path("work_dirs/x"),
        total_epochs=300,
        lr=1e-3,
        max_norm=5.0,
        samples_per_gpu=64,
        num_processes=8,
        warmup_iterations=500,
        checkpoint_interval=10,
    ),
]


def finding(kind: str, *, epoch: int = 100, value: float = 0.0) -> Finding:
    evidence = {
        "loss_spike": {"current": 3.0, "recent_average": 1.0, "ratio": 3.0, "first_iteration": 1},
        "performance_drop": {"current": value, "best": 0.7, "best_epoch": 50, "drop": 0.7 - value},
        "non_finite": {"values": {"loss": math.nan}},
    }[kind]
    return Finding(
        kind=kind,
        severity="warning",
        epoch=epoch,
        iteration=1000,
        metric="loss" if kind == "loss_spike" else "AP",
        value=value,
        evidence=evidence,
        time=0.0,
    )
