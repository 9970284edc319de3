"""Causes and actions: the guide's words, the run's numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from monitor_findings import FACTS, finding

from sdpose.monitor import RunFacts
from sdpose.monitor.advice import compose, en, ko
from sdpose.monitor.diagnosis import explain

OURS = {"check_clipping_off", "check_data_iterations", "clip_on", "extreme_output", "adjust_lr_batch"}


def test_both_languages_have_the_same_texts_with_the_same_numbers() -> None:
    def holes(text: str) -> list[str]:
        return sorted(re.findall(r"{\w+}", text))

    assert {name: holes(text) for name, text in en.TEXTS.items()} == {
        name: holes(text) for name, text in ko.TEXTS.items()
    }


def test_every_text_is_used() -> None:
    code = Path(compose.__file__).read_text(encoding="utf-8")
    code += Path(compose.__file__).parents[1].joinpath("alert_text.py").read_text(encoding="utf-8")
    unused = [name for name in ko.TEXTS if f'"{name}"' not in code and f"'{name}'" not in code]
    assert unused == []


def test_korean_advice_is_the_guides_word_for_word(shared: Path) -> None:
    guide = (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8").replace("**", "")
    for name in ko.TEXTS.keys() - OURS:
        assert ko.TEXTS[name].format(max_norm=5.0, old=5.0, new=3.0) in guide, name


def test_a_spike_names_the_changes_in_order() -> None:
    alert = explain(finding("loss_spike"), FACTS[1], "en")
    assert alert.causes == (
        "The learning rate is too high",
        "Gradient explosion",
        "Faulty data",
        "The batch size was changed",
    )
    assert alert.actions == (
        "Check whether the learning rate is too high: lr 0.001 -> 0.0005 (--cfg-options optimizer.lr=0.0005)",
        "Check gradient clipping (now: max_norm=5.0): "
        "max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)",
        "Check the data for faults: iterations 1-1000",
        "The batch size was changed -> change the learning rate along with it "
        "(batch now: samples_per_gpu 64 x 8 = 512, lr 0.001)",
        "A spike in mid-run: check the learning rate schedule",
    )


def test_divergence_gets_the_guides_case_3_in_korean() -> None:
    alert = explain(finding("non_finite"), FACTS[1], "ko")
    assert alert.causes == (
        "Gradient explosion",
        "Learning rate가 너무 높음",
        "Batch size 변경 시 발생",
        "모델 출력이 이상함 (NaN, Inf, 극단값)",
    )
    assert alert.actions == (
        "Gradient explosion → Gradient clipping 강화 (5.0 → 3.0): "
        "max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)",
        "Learning rate가 너무 높음 → 감소: lr 0.001 -> 0.0005 (--cfg-options optimizer.lr=0.0005)",
        "Batch size 변경 시 발생 → Learning rate도 함께 조정 "
        "(현재 batch: samples_per_gpu 64 x 8 = 512, lr 0.001)",
        "이전 checkpoint로 복원: 문제가 생긴 시점 이전으로: --resume-from work_dirs/x/epoch_90.pth",
        "Quick check 실행: python tools/quick_check.py configs/x.py",
        '로그에서 NaN/Inf 확인: grep -i "nan\\|inf" work_dirs/x/latest.log',
    )


def test_without_clipping_and_warm_up_both_are_proposed() -> None:
    actions = explain(finding("non_finite"), RunFacts(lr=0.002), "en").actions
    assert actions[0] == (
        "Gradient explosion -> turn gradient clipping on: "
        "max_norm none -> 5.0 (optimizer_config = dict(grad_clip=dict(max_norm=5.0, norm_type=2)))"
    )
    assert actions[1] == (
        "The learning rate is too high -> lower it or add a warm-up: "
        "lr 0.002 -> 0.001 (--cfg-options optimizer.lr=0.001); "
        "warmup none -> linear (--cfg-options lr_config.warmup=linear lr_config.warmup_iters=500)"
    )
    assert actions[3] == "Go back to an earlier checkpoint, from before the fault"


@pytest.mark.parametrize(
    ("epoch", "checkpoint"), [(1, None), (10, None), (11, "epoch_10"), (20, "epoch_10"), (21, "epoch_20")]
)
def test_the_checkpoint_to_go_back_to_is_from_before_the_fault(epoch: int, checkpoint: str | None) -> None:
    action = explain(finding("non_finite", epoch=epoch), FACTS[1], "en").actions[3]
    path = f": --resume-from work_dirs/x/{checkpoint}.pth" if checkpoint else ""
    assert action == "Go back to an earlier checkpoint, from before the fault" + path


def test_a_drop_to_zero_gets_the_guides_case_2() -> None:
    alert = explain(finding("performance_drop", epoch=200), FACTS[1], "ko")
    assert alert.causes == (
        "Heatmap이 제대로 생성되지 않음",
        "모델 출력이 이상함 (극단값)",
        "Overfitting 가능성",
    )
    assert alert.actions == (
        "Quick check 실행: python tools/quick_check.py configs/x.py",
        "Learning rate schedule 확인",
        "이전 checkpoint로 복원 고려: --resume-from work_dirs/x/best_AP_epoch_50.pth",
        "Early stopping 고려 가능",
    )


def test_a_drop_names_the_best_checkpoint_only_where_one_is_kept() -> None:
    alert = explain(finding("performance_drop", value=0.5), RunFacts(saves_best=False), "en")
    assert alert.causes == ("Possibly overfitting",)
    assert alert.actions == (
        "Check the learning rate schedule",
        "Consider going back to an earlier checkpoint",
    )
