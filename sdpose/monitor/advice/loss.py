"""What is said about the loss: not finite, spiked, diverged, not falling."""

from __future__ import annotations

from sdpose.monitor import guide_text
from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.digits import percent, times
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.guide_text import loss_digits

LR_TOO_HIGH = Phrase("The learning rate is too high", "Learning rate가 너무 높음", guide=True)
LR_TOO_LOW = Phrase("The learning rate is too low", "Learning rate가 너무 작음", guide=True)
GRADIENT_EXPLOSION = Phrase("Gradient explosion", "Gradient explosion", guide=True)
BATCH_SIZE_CHANGED = Phrase("The batch size was changed", "Batch size 변경 시 발생", guide=True)
BATCH_TOO_SMALL = Phrase("The batch is too small", "Batch size가 너무 작음", guide=True)
TOO_MUCH_AUGMENTATION = Phrase(
    "The data augmentation is too strong", "데이터 augmentation이 너무 강함", guide=True
)
FAULTY_DATA = Phrase("Faulty data", "데이터 이상", guide=True)
WRONG_LABELS = Phrase(
    "The labels do not fit the pictures (annotation file, boxes, joint order, normalisation)",
    "Label이 이미지와 맞지 않음 (annotation 파일, box, joint 순서, normalization)",
)
ABNORMAL_OUTPUT = Phrase(
    "The model's output is abnormal (NaN, Inf, extreme values)",
    "모델 출력이 이상함 (NaN, Inf, 극단값)",
    guide=True,
)

WHERE = Phrase("Iteration: {iteration} (epoch {epoch})", "Iteration: {iteration} (epoch {epoch})")
WHERE_ONLY = Phrase("Iteration: {iteration}", "Iteration: {iteration}")
NOT_FINITE = Phrase("NaN or Inf detected!", "NaN 또는 Inf 감지!")
TENSORS = Phrase(
    "weights_broken: {num} tensors hold a NaN or an Inf",
    "weights_broken: tensor {num}개에 NaN 또는 Inf가 있음",
)
GREP_LOG = Phrase("Look for NaN/Inf in the log", "로그에서 NaN/Inf 확인", guide=True)


def non_finite(case: Case) -> Advice:
    """The guide's case 3, last line; it has no text for the alarm itself, but greps the log for "nan" and "inf"."""
    grep = f'grep -i "nan\\|inf" {changes.in_work_dir(case, "latest.log")}' if case.is_ours else None
    values = [
        case.say(TENSORS, num=f"{value:.0f}") if name == "weights_broken" else f"{name}: {loss_digits(value)}"
        for name, value in case.evidence["values"].items()
    ]
    where = WHERE if case.finding.epoch else WHERE_ONLY
    place = case.say(where, iteration=case.finding.iteration, epoch=case.finding.epoch)
    return Advice(
        message=case.message(NOT_FINITE, place, *values),
        causes=tuple(
            case.say(cause)
            for cause in (GRADIENT_EXPLOSION, LR_TOO_HIGH, BATCH_SIZE_CHANGED, ABNORMAL_OUTPUT, FAULTY_DATA)
        ),
        actions=changes.present(
            changes.clip_action(case),
            changes.lower_lr_action(case),
            changes.adjust_lr_action(case),
            changes.restore_action(case),
            changes.find_cause_action(case),
            changes.quick_check_action(case),
            case.act(GREP_LOG, grep) if grep else None,
        ),
    )


CHECK_LR = Phrase(
    "Check whether the learning rate is too high", "Learning rate가 너무 높은지 확인", guide=True
)
CHECK_DATA = Phrase("Check the data for faults", "데이터 이상 확인", guide=True)
ITERATIONS = Phrase("iterations {first}-{last}", "iteration {first}-{last}")
ITERATION = Phrase("iteration {last}", "iteration {last}")
SPIKE_IN_MID_RUN = Phrase(
    "A spike in mid-run: check the learning rate schedule",
    "Loss spike가 발생하면 learning rate schedule 확인",
    guide=True,
)


def loss_spike(case: Case) -> Advice:
    """The guide's first warning, byte for byte in both languages."""
    evidence = case.evidence
    return Advice(
        message=guide_text.loss_spike(
            current=evidence["current"],
            recent_average=evidence["recent_average"],
            ratio=evidence["ratio"],
        ),
        causes=tuple(
            case.say(cause) for cause in (LR_TOO_HIGH, GRADIENT_EXPLOSION, FAULTY_DATA, BATCH_SIZE_CHANGED)
        ),
        actions=changes.present(
            case.act(CHECK_LR, changes.lower_lr(case)),
            changes.check_clipping_action(case),
            check_data_action(case),
            changes.adjust_lr_action(case),
            case.say(SPIKE_IN_MID_RUN) if case.phase == "middle" else None,
        ),
    )


def check_data_action(case: Case) -> str:
    """With the iterations to look at."""
    first, last = case.evidence.get("first_iteration"), case.finding.iteration
    if first is None:
        return case.say(CHECK_DATA)
    return case.act(CHECK_DATA, case.say(ITERATION if first == last else ITERATIONS, first=first, last=last))


DIVERGED = Phrase("The loss rose and stays up: divergence!", "Loss가 급증 후 발산!")
NOW = Phrase("Now: {current} at iteration {iteration}", "현재: {current} (iteration {iteration})")
BEST = Phrase("Best: {best} at iteration {iteration}", "최저: {best} (iteration {iteration})")
BEST_ANYWHERE = Phrase("Best: {best}", "최저: {best}")
UP_SINCE = Phrase(
    "{ratio} the best, since iteration {first_iteration}",
    "최저의 {ratio}, iteration {first_iteration}부터",
)
UP = Phrase("{ratio} the best", "최저의 {ratio}")


def divergence(case: Case) -> Advice:
    """The guide's case 3 before its NaN."""
    evidence = case.evidence
    best, first = loss_digits(evidence["best"]), evidence.get("first_iteration")
    best_at, ratio = evidence.get("best_iteration"), times(evidence.get("ratio"))
    return Advice(
        message=case.message(
            DIVERGED,
            case.say(NOW, current=loss_digits(evidence["current"]), iteration=case.finding.iteration),
            case.say(BEST_ANYWHERE, best=best)
            if best_at is None
            else case.say(BEST, best=best, iteration=best_at),
            case.say(UP, ratio=ratio)
            if first is None
            else case.say(UP_SINCE, ratio=ratio, first_iteration=first),
        ),
        causes=tuple(
            case.say(cause) for cause in (LR_TOO_HIGH, GRADIENT_EXPLOSION, BATCH_SIZE_CHANGED, FAULTY_DATA)
        ),
        actions=changes.present(
            changes.lower_lr_action(case),
            changes.clip_action(case),
            changes.adjust_lr_action(case),
            changes.restore_action(case),
            changes.find_cause_action(case),
        ),
    )


NOT_FALLING = Phrase("The loss does not fall!", "Loss가 감소하지 않음!")
FROM_TO = Phrase(
    "It began at {first} and stands at {last} after {num_points} checks ({change}), with no downward trend "
    "(noise {spread})",
    "시작 {first}, {num_points}회 확인 후 {last} ({change}), 하락 추세 없음 (noise {spread})",
)
FAST_AT_FIRST = Phrase("Early in a run the loss should fall fast", "Loss가 빠르게 감소해야 함", guide=True)
EMPTY_MAPS = Phrase(
    "The heatmaps are empty everywhere: the loss sits where all maps are zero",
    "Heatmap이 모두 비어 있음: 모든 값이 0일 때의 loss에 머물러 있음",
)
LR_LIKELY_TOO_HIGH_FROM = 5e-3
LESS_AUGMENTATION = Phrase(
    "The data augmentation is too strong -> reduce it",
    "데이터 augmentation이 너무 강함 → 줄여보기",
    guide=True,
)
CHECK_LABELS = Phrase(
    "Check that labels, boxes and pictures fit, on a few drawn samples",
    "샘플 몇 개를 그려서 label, box, 이미지가 맞는지 확인",
)
PATIENCE = Phrase(
    "From random weights this is a stage that ends within 50,000 people seen: docs/plateau.md",
    "Random 초기화에서는 50,000명 정도 볼 때까지 정상적인 단계: docs/plateau.md",
)


def no_learning(case: Case) -> Advice:
    """The guide's case 1. A rate that is already large is not raised further."""
    evidence = case.evidence
    too_high = case.facts.lr is not None and case.facts.lr >= LR_LIKELY_TOO_HIGH_FROM
    empty = bool(evidence.get("plateau"))
    batch = changes.larger_batch_action(case)
    causes = [
        EMPTY_MAPS if empty else None,
        LR_TOO_HIGH if too_high else LR_TOO_LOW,
        BATCH_TOO_SMALL if batch else None,
        TOO_MUCH_AUGMENTATION,
        WRONG_LABELS,
    ]
    return Advice(
        message=case.message(
            NOT_FALLING,
            case.say(
                FROM_TO,
                first=loss_digits(evidence["first"]),
                last=loss_digits(evidence["last"]),
                change=_signed(-evidence["change"]) if "change" in evidence else "?",
                spread=loss_digits(evidence["spread"]) if "spread" in evidence else "?",
                num_points=evidence.get("num_points", "?"),
            ),
            *((case.say(FAST_AT_FIRST),) if case.phase == "early" else ()),
        ),
        causes=tuple(case.say(cause) for cause in causes if cause is not None),
        actions=changes.present(
            changes.lower_lr_action(case) if too_high else changes.raise_lr_action(case),
            batch,
            case.say(LESS_AUGMENTATION),
            case.act(CHECK_LABELS, changes.check(case, "annotations", "boxes", "picture")),
            changes.check_config_action(case) if case.phase == "early" else None,
            case.say(PATIENCE) if empty and case.is_ours else None,
        ),
    )


def _signed(share: float) -> str:
    return ("+" if share > 0 else "") + percent(share)
