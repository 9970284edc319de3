"""What is said about each fault: the guide's words, the run's numbers, two languages, and other people's runs."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from monitor_findings import FACTS, KINDS, NOBODYS, OURS, finding

from sdpose.monitor import RunFacts, advice, alert_text
from sdpose.monitor.advice import case, changes, gradients, loss, machine, model, repair, score
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.detectors import live_detectors
from sdpose.monitor.diagnosis import explain

MODULES = (case, changes, loss, score, gradients, model, machine, repair, alert_text)
GUIDE_NUMBERS = {
    "max_norm": 5.0,
    "old_norm": 5.0,
    "new_norm": 3.0,
    "old_lr": "1e-3",
    "new_lr": "3e-3",
}
each_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def phrases() -> Iterator[tuple[str, Phrase]]:
    """Every sentence of ours, by the name it is defined under."""
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, Phrase):
                yield name, value
    yield from repair.STEPS.items()


def test_there_are_many_sentences() -> None:
    assert len({phrase for _, phrase in phrases()}) > 120


def test_a_sentence_must_have_the_same_numbers_in_both_languages() -> None:
    with pytest.raises(ValueError, match="not the same numbers in both languages"):
        Phrase("{current} of {best}", "{current}")


def test_every_sentence_is_said_in_both_languages() -> None:
    assert [name for name, phrase in phrases() if not phrase.en.strip() or not phrase.ko.strip()] == []
    # Terms that the guide itself leaves in English.
    same = {name for name, phrase in phrases() if phrase.en == phrase.ko}
    assert same == {"WARNING", "GRADIENT_EXPLOSION", "WHERE", "WHERE_ONLY", "ITERATION", "AT_EPOCH"}


def test_every_sentence_is_used() -> None:
    folder = Path(advice.__file__).parent
    code = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.glob("*.py"), Path(alert_text.__file__)]
    )
    unused = [
        name
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, Phrase) and len(re.findall(rf"\b{name}\b", code)) < 2
    ]
    assert unused == []


def test_sentences_of_the_guide_are_the_guides_word_for_word(shared: Path) -> None:
    guide = (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8").replace("**", "")
    ours = [
        name for name, phrase in phrases() if phrase.guide and phrase.ko.format(**GUIDE_NUMBERS) not in guide
    ]
    assert ours == []


def test_sentences_that_the_guide_has_too_are_marked_as_its_own(shared: Path) -> None:
    guide = (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8").replace("**", "")
    unmarked = [
        name
        for name, phrase in phrases()
        if not phrase.guide
        and re.search("[가-힣]", phrase.ko)
        and "{" not in phrase.ko
        and phrase.ko in guide
    ]
    assert unmarked == []


def test_every_kind_has_texts() -> None:
    assert set(advice.KINDS) == set(KINDS)
    assert live_detectors(OURS).keys() <= set(advice.KINDS)


@each_kind
@pytest.mark.parametrize("facts", FACTS, ids=["nobody's", "only the rate", "ours"])
def test_every_kind_speaks_both_languages_about_any_run(kind: str, facts: RunFacts) -> None:
    for epoch in (0, 1, 100, 299):
        english, korean = (explain(finding(kind, epoch=epoch), facts, language) for language in ("en", "ko"))
        for alert in (english, korean):
            assert alert.message.startswith(("⚠️  WARNING: ", "💡  NOTE: ", "💡  참고: "))
            assert (alert.severity == "info") == alert.message.startswith("💡")
            assert alert.causes or kind == "recovery"
            assert alert.actions
            assert alert.doc == f"docs/monitor.md#{kind}"
            for text in (alert.message, *alert.causes, *alert.actions):
                assert not re.search(r"[{}]|\bNone\b|\S  ", re.sub("^(⚠️|💡)  ", "", text)), text
            assert all("\n" not in text for text in (*alert.causes, *alert.actions))
        assert len(english.causes) == len(korean.causes)
        assert len(english.actions) == len(korean.actions)
        assert not re.search("[가-힣]", "".join([english.message, *english.causes, *english.actions]))
        own_words = kind in ("loss_spike", "performance_drop")
        assert (english.message == korean.message) == own_words
        if kind != "recovery":
            assert re.search("[가-힣]", "".join(korean.causes + korean.actions))


@each_kind
@pytest.mark.parametrize("language", ["en", "ko"])
def test_runs_of_others_get_none_of_our_commands_and_settings(kind: str, language: str) -> None:
    alert = explain(finding(kind), NOBODYS, language)
    for text in (alert.message, *alert.causes, *alert.actions):
        assert not re.search(r"--cfg-options|--resume-from|sdpose |tools/|work_dirs|CONFIG|_per_gpu", text), (
            text
        )


@pytest.mark.parametrize(
    ("kind", "evidence"),
    [
        ("loss_spike", {"current": 3.0, "recent_average": 1.0, "ratio": 3.0}),
        ("divergence", {"current": 3.0, "best": 1.0}),
        ("no_learning", {"first": 3.0, "last": 3.0}),
        ("metric_zero", {"current": 0.0}),
        ("metric_collapse", {"current": 0.0, "best": 0.7}),
        ("performance_drop", {"current": 0.6, "best": 0.7, "drop": 0.1}),
        ("overfitting", {"best": 0.21, "current": 0.55}),
        ("plateau", {"best": 0.7, "current": 0.7}),
    ],
)
def test_numbers_that_a_log_does_not_give_are_left_out(kind: str, evidence: dict[str, float]) -> None:
    found = finding(kind)
    bare = type(found)(
        kind=kind,
        severity=found.severity,
        epoch=0,
        iteration=12,
        metric="val/loss" if kind == "overfitting" else "metrics/mAP50-95(P)",
        value=0.6,
        evidence=evidence,
        time=0.0,
    )
    for language in ("en", "ko"):
        alert = explain(bare, NOBODYS, language)
        assert "None" not in "".join((alert.message, *alert.causes, *alert.actions))
        assert alert.causes
        assert alert.actions


def test_a_spike_names_the_changes_in_order() -> None:
    alert = explain(finding("loss_spike"), OURS, "en")
    assert alert.causes == (
        "The learning rate is too high",
        "Gradient explosion",
        "Faulty data",
        "The batch size was changed",
    )
    assert alert.actions == (
        "Check whether the learning rate is too high: lr 1e-3 -> 5e-4 (--cfg-options optimizer.lr=5e-4)",
        "Check gradient clipping (now: max_norm=5.0): "
        "max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)",
        "Check the data for faults: iterations 951-1000",
        "The batch size was changed -> change the learning rate along with it "
        "(batch now: samples_per_gpu 64 x 8 = 512, lr 1e-3)",
        "A spike in mid-run: check the learning rate schedule",
    )
    assert explain(finding("loss_spike"), NOBODYS, "en").actions == (
        "Check whether the learning rate is too high",
        "Check gradient clipping",
        "Check the data for faults: iterations 951-1000",
        "The batch size was changed -> change the learning rate along with it",
    )


def test_a_nan_gets_the_guides_case_3_in_korean() -> None:
    alert = explain(finding("non_finite"), OURS, "ko")
    assert alert.message.splitlines() == [
        "⚠️  WARNING: NaN 또는 Inf 감지!",
        "   Iteration: 1000 (epoch 100)",
        "   loss: NaN",
        "   weights_broken: tensor 3개에 NaN 또는 Inf가 있음",
    ]
    assert alert.causes == (
        "Gradient explosion",
        "Learning rate가 너무 높음",
        "Batch size 변경 시 발생",
        "모델 출력이 이상함 (NaN, Inf, 극단값)",
        "데이터 이상",
    )
    assert alert.actions == (
        "Gradient explosion → Gradient clipping 강화 (5.0 → 3.0): "
        "max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)",
        "Learning rate가 너무 높음 → 감소: lr 1e-3 -> 5e-4 (--cfg-options optimizer.lr=5e-4)",
        "Batch size 변경 시 발생 → Learning rate도 함께 조정 "
        "(현재 batch: samples_per_gpu 64 x 8 = 512, lr 1e-3)",
        "이전 checkpoint로 복원: 문제가 생긴 시점 이전으로: --resume-from work_dirs/x/epoch_90.pth",
        "실험으로 원인 확인 (문제의 이미지와 layer까지): sdpose explain work_dirs/x",
        "Quick check 실행: python tools/quick_check.py configs/x.py",
        '로그에서 NaN/Inf 확인: grep -i "nan\\|inf" work_dirs/x/latest.log',
    )


def test_a_nan_names_its_iteration_and_each_value_in_english() -> None:
    values = {"heatmap_loss": float("nan"), "loss": float("inf"), "grad_norm": -float("inf")}
    message = explain(finding("non_finite", values=values, epoch=3), NOBODYS, "en").message
    assert message.splitlines() == [
        "⚠️  WARNING: NaN or Inf detected!",
        "   Iteration: 1000 (epoch 3)",
        "   heatmap_loss: NaN",
        "   loss: Inf",
        "   grad_norm: -Inf",
    ]


def test_a_log_without_epochs_names_none_and_a_single_iteration_is_no_range() -> None:
    found = finding("non_finite", epoch=0)
    assert explain(found, NOBODYS, "en").message.splitlines()[1] == "   Iteration: 1000"
    actions = explain(finding("loss_spike", first_iteration=1000), NOBODYS, "en").actions
    assert actions[2] == "Check the data for faults: iteration 1000"


def test_without_clipping_and_warm_up_both_are_proposed() -> None:
    actions = explain(finding("non_finite"), RunFacts(config_path="c.py", lr=0.002), "en").actions
    assert actions[0] == (
        "Gradient explosion -> turn gradient clipping on: "
        "max_norm none -> 5.0 (optimizer_config = dict(grad_clip=dict(max_norm=5.0, norm_type=2)))"
    )
    assert actions[1] == (
        "The learning rate is too high -> lower it or add a warm-up: "
        "lr 2e-3 -> 1e-3 (--cfg-options optimizer.lr=1e-3); "
        "warmup none -> linear (--cfg-options lr_config.warmup=linear lr_config.warmup_iters=500)"
    )
    assert actions[3] == "Go back to an earlier checkpoint, from before the fault"


@pytest.mark.parametrize(
    ("epoch", "checkpoint"),
    [(0, None), (1, None), (10, None), (11, "epoch_10"), (20, "epoch_10"), (21, "epoch_20")],
)
def test_the_checkpoint_to_go_back_to_is_from_before_the_fault(epoch: int, checkpoint: str | None) -> None:
    action = explain(finding("non_finite", epoch=epoch), OURS, "en").actions[3]
    path = f": --resume-from work_dirs/x/{checkpoint}.pth" if checkpoint else ""
    assert action == "Go back to an earlier checkpoint, from before the fault" + path


def test_a_loss_that_does_not_fall_gets_the_guides_case_1() -> None:
    facts = RunFacts(config_path="c.py", lr=1e-3, samples_per_gpu=8, total_epochs=300, warmup_iterations=1)
    alert = explain(finding("no_learning", epoch=10, plateau=False), facts, "ko")
    assert alert.message.splitlines() == [
        "⚠️  WARNING: Loss가 감소하지 않음!",
        "   시작 0.005600, 40회 확인 후 0.005500 (-1 %), 하락 추세 없음 (noise 0.0001000)",
        "   Loss가 빠르게 감소해야 함",
    ]
    assert alert.causes == (
        "Learning rate가 너무 작음",
        "Batch size가 너무 작음",
        "데이터 augmentation이 너무 강함",
        "Label이 이미지와 맞지 않음 (annotation 파일, box, joint 순서, normalization)",
    )
    assert alert.actions == (
        "Learning rate가 너무 작음 → config에서 증가 시도 (1e-3 → 3e-3): "
        "lr 1e-3 -> 3e-3 (--cfg-options optimizer.lr=3e-3)",
        "Batch size가 너무 작음 → 최소 32 이상 권장: "
        "samples_per_gpu 8 -> 32 (--cfg-options data.samples_per_gpu=32)",
        "데이터 augmentation이 너무 강함 → 줄여보기",
        "샘플 몇 개를 그려서 label, box, 이미지가 맞는지 확인: "
        "sdpose check c.py --only annotations boxes picture",
        "이 시기에 문제가 있으면 config 점검 필요: sdpose config c.py",
    )


def test_a_rate_that_is_high_already_is_lowered_and_empty_maps_are_named() -> None:
    facts = RunFacts(config_path="c.py", lr=0.02, samples_per_gpu=64, warmup_iterations=500)
    alert = explain(finding("no_learning"), facts, "en")
    assert alert.causes[:2] == (
        "The heatmaps are empty everywhere: the loss sits where all maps are zero",
        "The learning rate is too high",
    )
    assert alert.actions[0] == (
        "The learning rate is too high -> lower it: lr 0.02 -> 1e-3 (--cfg-options optimizer.lr=1e-3)"
    )
    assert not any("batch" in action for action in alert.actions)
    assert alert.actions[-1].endswith("docs/plateau.md")


def test_a_rate_of_thirty_digits_is_read_with_an_exponent() -> None:
    facts = RunFacts(config_path="c.py", lr=1e30, samples_per_gpu=8)
    said = explain(finding("non_finite"), facts, "en")
    assert any("lr 1e30 -> 1e-3" in action for action in said.actions)
    assert not any("0000000" in action for action in said.actions)


@pytest.mark.parametrize(
    ("lr", "path", "change"),
    [
        (1e-9, "c.py", "lr 1e-9 -> 1e-3 (--cfg-options optimizer.lr=1e-3)"),
        (2e-4, "c.py", "lr 2e-4 -> 6e-4 (--cfg-options optimizer.lr=6e-4)"),
        (1e-9, None, "lr 1e-9 -> 3e-9"),  # somebody else's model may want that
    ],
)
def test_a_rate_far_from_the_published_one_is_led_back_to_it(
    lr: float, path: str | None, change: str
) -> None:
    facts = RunFacts(config_path=path, lr=lr)
    assert explain(finding("no_learning"), facts, "en").actions[0].endswith(f": {change}")


def test_an_ap_of_zero_gets_the_guides_case_2() -> None:
    alert = explain(finding("metric_zero"), OURS, "ko")
    assert alert.message.splitlines()[:2] == [
        "⚠️  WARNING: AP가 0.0000!",
        "   Epoch 100: AP = 0.0000",  # the guide's own example
    ]
    assert alert.causes[:2] == ("Heatmap이 제대로 생성되지 않음", "모델 출력이 이상함 (극단값)")
    assert alert.actions[:2] == (
        "Quick check 실행: python tools/quick_check.py configs/x.py",
        "실험으로 원인 확인 (문제의 이미지와 layer까지): sdpose explain work_dirs/x --chain",
    )


def test_a_drop_to_zero_gets_the_guides_case_2_too() -> None:
    alert = explain(finding("performance_drop", epoch=200, value=0.0, low=None, details={}), OURS, "ko")
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
    facts = RunFacts(config_path="c.py", saves_best=False)
    alert = explain(finding("performance_drop", low=None, details={}), facts, "en")
    assert alert.causes == ("Possibly overfitting",)
    assert alert.actions == (
        "Check the learning rate schedule",
        "Consider going back to an earlier checkpoint",
    )


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (0.08, "Not chance: the drop is 0.080 to 0.120 (95 % of the resampled evaluations)"),
        (-0.02, "Perhaps chance: -0.020 to 0.120 is the drop's interval (95 %), and 0 lies in it"),
    ],
)
def test_a_drop_says_whether_it_may_be_chance_and_what_moved(low: float, said: str) -> None:
    causes = explain(finding("performance_drop", low=low), OURS, "en").causes
    assert causes[1:] == ("What moved since the evaluation before: swap +0.110, left_wrist -0.090", said)


def test_a_drop_that_is_for_information_does_not_warn() -> None:
    found = dataclasses.replace(finding("performance_drop"), severity="info")
    assert explain(found, OURS, "en").message == (
        "💡  NOTE: Performance drop detected!\n   Current AP: 0.600\n   Best AP: 0.700\n   Drop: 0.100"
    )


def test_waiting_for_data_gets_the_guides_more_workers() -> None:
    alert = explain(finding("data_starvation"), OURS, "ko")
    assert alert.message.splitlines()[0] == "💡  참고: 학습이 너무 느림: 데이터를 기다림"
    assert alert.actions[0] == (
        "데이터 로더 워커 증가: workers_per_gpu 2 -> 4 (--cfg-options data.workers_per_gpu=4)"
    )
    assert alert.actions[2] == "학습 전에 이미지를 한 번만 디코딩: sdpose data pack configs/x.py"


@pytest.mark.parametrize(
    ("workers", "change"), [(0, "0 -> 2"), (1, "1 -> 2"), (4, "4 -> 8"), (6, "6 -> 8"), (8, None)]
)
def test_workers_are_doubled_up_to_the_guides_eight(workers: int, change: str | None) -> None:
    facts = RunFacts(config_path="c.py", workers_per_gpu=workers)
    actions = explain(finding("data_starvation"), facts, "en").actions
    assert ("workers_per_gpu" in "".join(actions)) == (change is not None)
    assert change is None or f"workers_per_gpu {change} (" in actions[0]


def test_memory_of_the_device_gets_the_guides_smaller_batch() -> None:
    action = explain(finding("memory_growth"), OURS, "ko").actions[-1]
    assert action.endswith("samples_per_gpu 64 -> 32 (--cfg-options data.samples_per_gpu=32)")


def test_weights_that_shrank_with_the_tokens_put_the_weight_decay_first() -> None:
    decay = (
        "Check the weight decay of the optimizer: weight_decay -> 0 (--cfg-options optimizer.weight_decay=0)"
    )
    for norms, place in (([40.0, 9.0], 0), ([40.0, 41.0], 1), ([], 1)):
        alert = explain(finding("dead_tokens", weight_norms=norms), OURS, "en")
        assert alert.actions.index(decay) == place
        assert ("norm 40 -> 9" in alert.message) == (place == 0)


def test_a_token_loss_that_swallows_the_rest_gets_its_published_weight() -> None:
    actions = explain(finding("loss_term_swallowing"), OURS, "en").actions
    assert actions[0] == (
        "Lower its weight: loss_weight -> 5e-6 "
        "(--cfg-options model.keypoint_head.loss_vis_token_dist.loss_weight=5e-6)"
    )


def test_a_run_behind_schedule_gets_the_guides_tip() -> None:
    alert = explain(finding("behind_schedule", epoch=49), OURS, "ko")
    assert alert.message.splitlines() == [
        "⚠️  WARNING: AP가 예상보다 낮음!",
        "   현재 AP: 0.420",
        "   Epoch 49/300에서 예상: 0.550 (가이드의 표; 표의 loss는 해당 없음)",
        "   AP가 0.5 이상 도달해야 함",
    ]
    assert alert.actions[0] == "이 시기에 문제가 있으면 config 점검 필요: sdpose config configs/x.py"


@pytest.mark.parametrize(("epoch", "said"), [(40, True), (100, True), (200, False)])
def test_a_standstill_gets_the_tip_of_its_phase(epoch: int, said: bool) -> None:
    actions = explain(finding("plateau", epoch=epoch), OURS, "ko").actions
    assert ("AP 정체 시 augmentation 강화 고려" in actions) == said
    assert ("Early stopping 고려 가능" in actions) == (not said)


def test_a_repair_says_what_was_done_and_a_dry_run_that_it_was_not() -> None:
    assert explain(finding("recovery"), OURS, "en").message.splitlines() == [
        "⚠️  WARNING: The run was repaired",
        "   Because of non_finite at iteration 990",
        "   Batches left out: iterations 990",
        "   Gone back to: iteration 950",
        "   Repair 1 of at most 3",
    ]
    dry = explain(finding("recovery", dry_run=True), OURS, "en")
    assert dry.message.startswith("⚠️  WARNING: The run would be repaired (dry run)")
    assert dry.actions == ("To let it happen: --cfg-options monitor.dry_run=False",)
    assert explain(finding("recovery", helped=True), OURS, "ko").message.startswith(
        "⚠️  WARNING: 자동 복구 효과 확인됨"
    )


def test_the_same_finding_gives_the_same_alert() -> None:
    for kind, facts in itertools.product(KINDS, FACTS):
        assert repr(explain(finding(kind), facts, "en")) == repr(explain(finding(kind), facts, "en"))
