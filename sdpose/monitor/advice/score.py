"""What is said about the AP: zero, collapsed, dropped, overfitted, at a standstill, behind the guide's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdpose.monitor import guide_text
from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.digits import score
from sdpose.monitor.advice.loss import (
    BATCH_TOO_SMALL,
    LESS_AUGMENTATION,
    LR_TOO_HIGH,
    LR_TOO_LOW,
    TOO_MUCH_AUGMENTATION,
    WRONG_LABELS,
)
from sdpose.monitor.advice.phrase import Phrase

NO_HEATMAPS = Phrase("The model produces no proper heatmaps", "Heatmap이 제대로 생성되지 않음", guide=True)
# Not the guide's "(NaN, Inf, ...)": nobody has seen one here, and the guide greps the log for these letters.
EXTREME_OUTPUT = Phrase("The model's output is abnormal (extreme values)", "모델 출력이 이상함 (극단값)")
WRONG_EVALUATION = Phrase(
    "The evaluation looks at the wrong file: boxes or image ids do not belong to the annotations",
    "잘못된 파일로 평가함: box 또는 image id가 annotation과 맞지 않음",
)
TOO_SHORT = Phrase(
    "The run was too short: from random weights AP leaves 0 after some 50,000 people (docs/plateau.md)",
    "학습이 너무 짧음: 무작위 weight에서는 약 50,000명을 본 뒤에야 AP가 0을 벗어남 (docs/plateau.md)",
)
SHORT_PEOPLE, SHORT_EVALUATIONS = 50_000, 5
"""From random weights AP leaves zero after about so many (docs/plateau.md)."""
OVERFITTING = Phrase("Possibly overfitting", "Overfitting 가능성", guide=True)
CHECK_SCHEDULE = Phrase("Check the learning rate schedule", "Learning rate schedule 확인", guide=True)
RESTORE_BEST = Phrase(
    "Consider going back to an earlier checkpoint", "이전 checkpoint로 복원 고려", guide=True
)
STOP_EARLY = Phrase("Early stopping may be considered", "Early stopping 고려 가능", guide=True)
CHECK_OUTPUTS = Phrase("Look at the model's output for a few samples", "샘플 몇 개에서 모델 출력 확인")
CHECK_EVALUATION = Phrase(
    "Evaluate the ground truth itself: its score must be nearly perfect",
    "Ground truth 자체를 평가하여 점수가 거의 만점인지 확인",
)

IS_ZERO = Phrase("{metric} is {current}!", "{metric}가 {current}!")
ALL_EVALUATIONS = Phrase(
    "In each of {num_evaluations} evaluations, since epoch {first_epoch}",
    "Epoch {first_epoch}부터 평가 {num_evaluations}회 모두",
)
AT_EPOCH = Phrase("Epoch {epoch}: {metric} = {current}", "Epoch {epoch}: {metric} = {current}")


def metric_zero(case: Case) -> Advice:
    """The guide's case 2: an AP that never left 0."""
    evidence = case.evidence
    current = score(evidence.get("current", 0.0))
    lines = [case.say(AT_EPOCH, epoch=case.finding.epoch, metric=case.metric, current=current)]
    if evidence.get("num_evaluations", 1) > 1 and "first_epoch" in evidence:
        lines.append(
            case.say(
                ALL_EVALUATIONS,
                num_evaluations=evidence["num_evaluations"],
                first_epoch=f"{evidence['first_epoch']:g}",
            )
        )
    too_low = case.facts.lr is not None and case.facts.lr < changes.FAR_TOO_LOW
    suspect = LR_TOO_LOW if too_low else LR_TOO_HIGH
    causes = [NO_HEATMAPS] if case.is_ours else []
    causes += [EXTREME_OUTPUT, WRONG_EVALUATION, WRONG_LABELS, suspect]
    causes += [TOO_SHORT] if _is_short(case) else []
    return Advice(
        message=case.message(IS_ZERO, *lines, metric=case.metric, current=current),
        causes=tuple(case.say(cause) for cause in causes),
        actions=changes.present(
            changes.quick_check_action(case),
            changes.find_cause_action(case, " --chain"),
            None if case.is_ours else case.say(CHECK_OUTPUTS),
            None if case.is_ours else case.say(CHECK_EVALUATION),
            changes.raise_lr_action(case) if too_low else changes.lower_lr_action(case),
        ),
    )


def _is_short(case: Case) -> bool:
    """By people seen; of a log that does not tell them, by the number of evaluations. Of AP only."""
    if case.metric != "AP":
        return False
    if case.facts.samples_per_gpu is None:
        return bool(case.evidence.get("num_evaluations", 0) < SHORT_EVALUATIONS)
    people = case.finding.iteration * case.facts.samples_per_gpu * case.facts.num_processes
    return people < SHORT_PEOPLE


COLLAPSED = Phrase("{metric} has collapsed!", "{metric} 급락!")
CURRENT = Phrase("Current {metric}: {current}", "현재 {metric}: {current}")
BEST = Phrase("Best {metric}: {best} (epoch {best_epoch})", "최고 {metric}: {best} (epoch {best_epoch})")
BEST_ANYWHERE = Phrase("Best {metric}: {best}", "최고 {metric}: {best}")


def metric_collapse(case: Case) -> Advice:
    """The guide's case 2: an AP that was there and is gone."""
    return Advice(
        message=case.message(COLLAPSED, *_now_and_best(case), metric=case.metric),
        causes=tuple(
            case.say(cause)
            for cause in (
                (NO_HEATMAPS, EXTREME_OUTPUT, LR_TOO_HIGH, WRONG_EVALUATION)
                if case.is_ours
                else (EXTREME_OUTPUT, LR_TOO_HIGH, WRONG_EVALUATION)
            )
        ),
        actions=changes.present(
            changes.restore_action(case, RESTORE_BEST, _best_checkpoint(case)),
            changes.quick_check_action(case),
            changes.find_cause_action(case, " --chain"),
            None if case.is_ours else case.say(CHECK_OUTPUTS),
            changes.lower_lr_action(case),
        ),
    )


BEYOND_CHANCE = Phrase(
    "Not chance: the drop is {low} to {high} (95 % of the resampled evaluations)",
    "우연이 아님: 하락 폭은 {low}~{high} (95 % bootstrap 구간)",
)
MAY_BE_CHANCE = Phrase(
    "Perhaps chance: {low} to {high} is the drop's interval (95 %), and 0 lies in it",
    "우연일 수 있음: 하락 폭의 95 % 구간 {low}~{high}에 0이 포함됨",
)
MOVED = Phrase("What moved since the evaluation before: {moved}", "직전 평가 이후 변화: {moved}")
NUM_MOVED = 4


def performance_drop(case: Case) -> Advice:
    """The guide's second warning, byte for byte in both languages; what may be chance is a note in its words."""
    evidence = case.evidence
    is_zero = f"{case.finding.value:.4f}" == "0.0000"
    warning = guide_text.performance_drop(
        metric=case.metric, current=evidence["current"], best=evidence["best"], drop=evidence["drop"]
    )
    causes = [NO_HEATMAPS, EXTREME_OUTPUT, OVERFITTING] if is_zero else [OVERFITTING]
    return Advice(
        message=case.as_note(warning),
        causes=changes.present(*(case.say(cause) for cause in causes), _moved(case), _chance(case)),
        actions=changes.present(
            changes.quick_check_action(case) if is_zero else None,
            case.say(CHECK_SCHEDULE),
            changes.restore_action(case, RESTORE_BEST, _best_checkpoint(case))
            if case.facts.saves_best
            else case.say(RESTORE_BEST),
            case.say(STOP_EARLY) if case.phase == "late" else None,
        ),
    )


def _chance(case: Case) -> str | None:
    """What the bootstrap says, where there was one."""
    low, high = case.evidence.get("low"), case.evidence.get("high")
    if low is None or high is None:
        return None
    return case.say(BEYOND_CHANCE if low > 0 else MAY_BE_CHANCE, low=score(low), high=score(high))


def _moved(case: Case) -> str | None:
    """Joints and kinds of errors that changed beyond noise, the largest changes first."""
    moved: Mapping[str, Any] = case.evidence.get("details", {}).get("moved", {})
    changed = [
        (name, float(change))
        for group in ("joints", "errors")
        for name, change in moved.get(group, {}).items()
    ]
    if not changed:
        return None
    changed.sort(key=lambda item: -abs(item[1]))
    listed = ", ".join(f"{name} {change:+.3f}" for name, change in changed[:NUM_MOVED])
    return case.say(MOVED, moved=listed)


OVERFITS = Phrase(
    "Overfitting: the validation {metric} falls!", "Overfitting 주의 (validation {metric} 하락)!"
)
LOSS_RISES = Phrase("Overfitting: the validation loss rises!", "Overfitting 주의 (validation loss 상승)!")
WHILE_TRAINING_FALLS = Phrase(
    "Meanwhile the training loss went on falling: {train_first} -> {train_last}",
    "그동안 training loss는 계속 감소: {train_first} → {train_last}",
)
BEST_LOSS = Phrase("Best {metric}: {best} (epoch {best_epoch})", "최저 {metric}: {best} (epoch {best_epoch})")
BEST_LOSS_ANYWHERE = Phrase("Best {metric}: {best}", "최저 {metric}: {best}")
TOO_LITTLE_DATA = Phrase(
    "Too little data, or too weak an augmentation, for this model",
    "모델에 비해 데이터가 적거나 augmentation이 약함",
)
TOO_LONG = Phrase("Trained too long at this learning rate", "현재 learning rate로 너무 오래 학습함")
MORE_AUGMENTATION = Phrase("Strengthen the augmentation", "Augmentation 강화")
WEIGHT_DECAY = Phrase("Regularise more (weight decay)", "Regularization 강화 (weight decay)")


def overfitting(case: Case) -> Advice:
    """The guide's tip 3: the validation score falls while the training loss goes on falling."""
    evidence = case.evidence
    of_loss = "loss" in case.metric.lower()
    first, last = evidence.get("train_first"), evidence.get("train_last")
    lines = list(_now_and_best(case, of_loss=of_loss))
    if first is not None and last is not None:
        first, last = guide_text.loss_digits(first), guide_text.loss_digits(last)
        lines.append(case.say(WHILE_TRAINING_FALLS, train_first=first, train_last=last))
    return Advice(
        message=case.message(LOSS_RISES if of_loss else OVERFITS, *lines, metric=case.metric),
        causes=tuple(case.say(cause) for cause in (TOO_LITTLE_DATA, TOO_LONG)),
        actions=changes.present(
            changes.restore_action(case, RESTORE_BEST, _best_checkpoint(case))
            if case.facts.saves_best
            else case.say(RESTORE_BEST),
            case.say(STOP_EARLY),
            case.say(MORE_AUGMENTATION),
            case.say(WEIGHT_DECAY),
            case.say(CHECK_SCHEDULE),
        ),
    )


STANDSTILL = Phrase("{metric} is at a standstill", "{metric} 정체")
NO_GAIN = Phrase(
    "{num_evaluations} evaluations gained {gain}, which is within their noise of {noise}",
    "평가 {num_evaluations}회 동안 {gain} 상승, noise {noise} 이내",
)
CONVERGED = Phrase(
    "The run has learnt what it can at this learning rate", "현재 learning rate에서 학습할 만큼 학습함"
)
SLOW_BUT_STEADY = Phrase(
    "Late in a run only slow but steady improvement is to be expected", "느리지만 꾸준한 개선", guide=True
)
STEADY_IN_THE_MIDDLE = Phrase(
    "In the middle of a run steady improvement is to be expected", "안정적인 개선 기대", guide=True
)
STRONGER_AUGMENTATION = Phrase(
    "When AP stands still, consider a stronger augmentation", "AP 정체 시 augmentation 강화 고려", guide=True
)
LOWER_NEXT = Phrase(
    "A lower learning rate often ends a plateau: check when the schedule's next step comes",
    "Learning rate를 낮추면 정체가 풀리는 경우가 많음: schedule의 다음 step 확인",
)


def plateau(case: Case) -> Advice:
    """The guide's tips 2 and 3, for information."""
    evidence = case.evidence
    lines = [*_now_and_best(case)]
    if evidence.get("num_evaluations") is not None and evidence.get("gain") is not None:
        lines.append(
            case.say(
                NO_GAIN,
                num_evaluations=evidence["num_evaluations"],
                gain=score(evidence["gain"]),
                noise=score(evidence.get("noise", 0.0)),
            )
        )
    late = case.phase == "late"
    if case.phase in ("middle", "late"):
        lines.append(case.say(SLOW_BUT_STEADY if late else STEADY_IN_THE_MIDDLE))
    return Advice(
        message=case.message(STANDSTILL, *lines, metric=case.metric),
        causes=(case.say(CONVERGED),),
        actions=changes.present(
            None if late else case.say(STRONGER_AUGMENTATION),
            case.say(LOWER_NEXT),
            case.say(STOP_EARLY) if late else None,
        ),
    )


BEHIND = Phrase("{metric} is behind the expected course!", "{metric}가 예상보다 낮음!")
EXPECTED = Phrase(
    "Expected after epoch {epoch} of {total_epochs}: {expected} (the guide's table; its losses do not apply)",
    "Epoch {epoch}/{total_epochs}에서 예상: {expected} (가이드의 표; 표의 loss는 해당 없음)",
)
AT_LEAST_HALF = Phrase("By now AP should have reached 0.5", "AP가 0.5 이상 도달해야 함", guide=True)
WRONG_START = Phrase(
    "Started without the pretrained backbone, or with other settings than the published ones",
    "Pretrained backbone 없이 시작했거나 설정이 공개된 것과 다름",
)


def behind_schedule(case: Case) -> Advice:
    """The guide's table of expected performance and its tip 1. Only AP is judged; its losses are not this model's."""
    evidence = case.evidence
    lr = case.facts.lr
    batch = changes.larger_batch_action(case)
    lines = [
        case.say(CURRENT, metric=case.metric, current=score(evidence["current"])),
        case.say(
            EXPECTED,
            epoch=case.finding.epoch,
            total_epochs=evidence["total_epochs"],
            expected=score(evidence["expected"]),
        ),
    ]
    if evidence.get("missed_milestone"):
        lines.append(case.say(AT_LEAST_HALF))
    # The published rate is 1e-3; one near it is not the first suspect.
    too_high, too_low = lr is not None and lr > 2e-3, lr is not None and lr < 5e-4
    causes = [
        LR_TOO_HIGH if too_high else LR_TOO_LOW if too_low else None,
        WRONG_START,
        BATCH_TOO_SMALL if batch else None,
        TOO_MUCH_AUGMENTATION,
        WRONG_LABELS,
    ]
    return Advice(
        message=case.message(BEHIND, *lines, metric=case.metric),
        causes=tuple(case.say(cause) for cause in causes if cause is not None),
        actions=changes.present(
            changes.check_config_action(case),
            changes.quick_check_action(case),
            changes.lower_lr_action(case) if too_high else None,
            changes.raise_lr_action(case) if too_low else None,
            case.say(CHECK_SCHEDULE),
            batch,
            case.say(LESS_AUGMENTATION),
        ),
    )


def _now_and_best(case: Case, *, of_loss: bool = False) -> tuple[str, str]:
    """Two lines of a message; of an evaluation's loss with the digits of losses."""
    evidence = case.evidence
    digits = guide_text.loss_digits if of_loss else score
    best, current = digits(evidence["best"]), digits(evidence.get("current", evidence["best"]))
    now = case.say(CURRENT, metric=case.metric, current=current)
    epoch = evidence.get("best_epoch")
    if epoch is None:
        anywhere = BEST_LOSS_ANYWHERE if of_loss else BEST_ANYWHERE
        return now, case.say(anywhere, metric=case.metric, best=best)
    return now, case.say(
        BEST_LOSS if of_loss else BEST, metric=case.metric, best=best, best_epoch=f"{epoch:.10g}"
    )


def _best_checkpoint(case: Case) -> str | None:
    epoch = case.evidence.get("best_epoch")
    if not case.facts.saves_best or epoch is None:
        return None
    return f"best_{case.metric}_epoch_{epoch:.10g}.pth"
