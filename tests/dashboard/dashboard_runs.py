"""Runs as a training leaves them, small and made on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STAMP = "20260101_000000"
CONFIG = """# The settings of configs/demo/sdpose_demo.py

total_epochs = 6

optimizer = dict(type='Adam', lr={lr})

optimizer_config = dict(grad_clip=dict(max_norm=5.0, norm_type=2))

data = dict(samples_per_gpu=8, workers_per_gpu=2)
"""
ALERT: dict[str, Any] = {
    "kind": "loss_spike",
    "severity": "warning",
    "epoch": 2,
    "iteration": 15,
    "metric": "loss",
    "value": 0.0083,
    "message": "⚠️  WARNING: Loss spike detected!",
    "evidence": {
        "current": 0.0083,
        "recent_average": 0.0021,
        "ratio": 3.95,
        "loss_spike_threshold": 2.0,
        "first_iteration": 14,
    },
    "causes": ["The learning rate is too high"],
    "actions": ["Lower the learning rate"],
    "doc": "docs/monitor.md#loss_spike",
    "language": "en",
    "time": 1.0,
}
HEADER = {"env_info": "sdpose: 0.1.0", "seed": 0, "hook_msgs": {}}


def train(epoch: int, iteration: int, *, loss: float | None = None, **more: Any) -> dict[str, Any]:
    """One line of training; its numbers have six digits, as ours have."""
    heatmap = loss if loss is not None else round(0.01 / (epoch + iteration / 10), 6)
    row = {"mode": "train", "epoch": epoch, "iter": iteration, "lr": 0.0001, "data_time": 0.0123456}
    row |= {"heatmap_loss": heatmap, "vis_dist_loss": 4.12345e-06, "acc_pose": 0.5, "loss": heatmap}
    row |= {"grad_norm": 0.0987654, "time": 0.234567, "heatmap_peak": 0.612345, "kpt_token_std": 0.0314159}
    return row | more


def val(epoch: int, ap: float, **more: Any) -> dict[str, Any]:
    """One evaluation."""
    row = {"mode": "val", "epoch": epoch, "iter": 25, "lr": 0.0001, "AP": ap, "AR": ap}
    return row | {"AP_low": round(ap - 0.03, 6), "AP_high": round(ap + 0.02, 6)} | more


def write_run(
    folder: Path, rows: list[dict[str, Any]] | None = None, *, stamp: str = STAMP, lr: float = 1e-3
) -> Path:
    """A run folder with log, config and an alert; three epochs of two lines unless `rows` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    if rows is None:
        rows = [row for e in (1, 2, 3) for row in (train(e, 5), train(e, 10), val(e, round(0.2 * e, 6)))]
    lines = [json.dumps(row) + "\n" for row in (HEADER, *rows)]
    (folder / f"{stamp}.log.json").write_text("".join(lines), encoding="utf-8")
    (folder / f"{stamp}.log").write_text(
        "2026-01-01 00:00:00,000 - mmpose - INFO - work_dir: x, max: 6 epochs\n"
        "2026-01-01 00:00:01,000 - mmpose - INFO - Epoch [1][5/10]\tlr: 1e-4\n",
        encoding="utf-8",
    )
    (folder / "sdpose_demo.py").write_text(CONFIG.format(lr=lr), encoding="utf-8")
    (folder / "alerts.jsonl").write_text(json.dumps(ALERT) + "\n", encoding="utf-8")
    return folder


def append(folder: Path, text: str | dict[str, Any], *, stamp: str = STAMP) -> None:
    """As a training would: at the end, at once."""
    with (folder / f"{stamp}.log.json").open("a", encoding="utf-8") as file:
        file.write(text if isinstance(text, str) else json.dumps(text) + "\n")
