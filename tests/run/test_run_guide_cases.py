"""The guide's cases 1 and 2, and a loss term that swallows the rest, provoked in trainings; both languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import log_text, plain

from sdpose.cli.main import main

# Too slow to learn anything in 48 iterations, as the guide's "Learning rate가 너무 작음".
NOTHING_LEARNT = ["optimizer.lr=1e-9", "total_epochs=12", "evaluation.interval=2"]
CASE_1 = {
    "en": (
        "⚠️  WARNING: The loss does not fall!",
        "Probable cause 1: The learning rate is too low",
        "Action 1: The learning rate is too low -> raise it in the config (1e-9 -> 1e-3): "
        "lr 1e-9 -> 1e-3 (--cfg-options optimizer.lr=1e-3)",
        "samples_per_gpu 8 -> 32 (--cfg-options data.samples_per_gpu=32)",
        "The data augmentation is too strong -> reduce it",
        "More: docs/monitor.md#no_learning",
    ),
    "ko": (
        "⚠️  WARNING: Loss가 감소하지 않음!",
        "가능한 원인 1: Learning rate가 너무 작음",
        "조치 1: Learning rate가 너무 작음 → config에서 증가 시도 (1e-9 → 1e-3)",
        "조치 2: Batch size가 너무 작음 → 최소 32 이상 권장: samples_per_gpu 8 -> 32",
        "조치 3: 데이터 augmentation이 너무 강함 → 줄여보기",
    ),
}
CASE_2 = {
    "en": (
        "⚠️  WARNING: AP is 0.0000!\n   Epoch 6: AP = 0.0000\n",
        "Probable cause 1: The model produces no proper heatmaps",
        "Action 1: Run the quick check: python tools/quick_check.py ",
    ),
    "ko": (
        "⚠️  WARNING: AP가 0.0000!\n   Epoch 6: AP = 0.0000\n",
        "가능한 원인 1: Heatmap이 제대로 생성되지 않음",
        "조치 1: Quick check 실행: python tools/quick_check.py ",
    ),
}


def train(config: Path, *options: str) -> int:
    return main(["train", str(config), "--seed", "1", "--cfg-options", *options])


def alerts(work_dir: Path) -> dict[str, dict[str, Any]]:
    """The first alert of each kind."""
    lines = (work_dir / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    return {alert["kind"]: alert for alert in map(json.loads, reversed(lines))}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_loss_that_does_not_fall_and_an_ap_of_zero_are_told_with_the_guides_causes(
    config: Path, tmp_path: Path, language: str
) -> None:
    assert train(config, *NOTHING_LEARNT, f"monitor.language={language}") == 0
    log = plain(log_text(tmp_path / "work"))
    for sentence in (*CASE_1[language], *CASE_2[language]):
        assert sentence in log
    said = alerts(tmp_path / "work")
    assert {"no_learning", "metric_zero"} <= said.keys()
    for kind in ("no_learning", "metric_zero"):
        assert (said[kind]["severity"], said[kind]["language"]) == ("critical", language)
        assert said[kind]["doc"] == f"docs/monitor.md#{kind}"


def test_a_token_loss_with_a_wrong_weight_is_told_with_the_published_one(
    config: Path, tmp_path: Path
) -> None:
    weight = "model.keypoint_head.loss_vis_token_dist.loss_weight"
    assert train(config, f"{weight}=1e6", "total_epochs=6", "evaluation.interval=100") == 0
    alert = alerts(tmp_path / "work")["loss_term_swallowing"]
    assert (alert["iteration"], alert["metric"]) == (20, "vis_dist_loss")
    assert alert["evidence"]["share"] > 0.99
    assert f"loss_weight -> 5e-6 (--cfg-options {weight}=5e-6)" in log_text(tmp_path / "work")


def test_a_healthy_run_is_silent(config: Path, tmp_path: Path) -> None:
    assert train(config, "total_epochs=6", "evaluation.interval=100") == 0
    path = tmp_path / "work" / "alerts.jsonl"
    found = alerts(tmp_path / "work").values() if path.exists() else ()
    assert [alert["kind"] for alert in found if alert["severity"] != "info"] == []
