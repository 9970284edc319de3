"""What is said about gradients and the learning rate."""

from __future__ import annotations

from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.digits import percent, setting, times, two_digits
from sdpose.monitor.advice.loss import BATCH_SIZE_CHANGED, FAULTY_DATA, LR_TOO_HIGH, check_data_action
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.guide_text import loss_digits

EXPLODED = Phrase("Gradients explode!", "Gradient explosion 감지!")
NORM_WAS = Phrase(
    "{metric}: {current}, {ratio} its level of {level}, since iteration {first_iteration}",
    "{metric}: {current}, 평소 {level}의 {ratio}, iteration {first_iteration}부터",
)


def gradient_explosion(case: Case) -> Advice:
    """The guide's case 3 seen in the gradients, mostly before the loss shows it."""
    evidence = case.evidence
    return Advice(
        message=case.message(
            EXPLODED,
            case.say(
                NORM_WAS,
                metric=case.metric,
                current=loss_digits(evidence["current"]),
                ratio=times(evidence["ratio"]),
                level=loss_digits(evidence["level"]),
                first_iteration=evidence["first_iteration"],
            ),
        ),
        causes=tuple(case.say(cause) for cause in (LR_TOO_HIGH, FAULTY_DATA, BATCH_SIZE_CHANGED)),
        actions=changes.present(
            changes.clip_action(case),
            changes.lower_lr_action(case),
            check_data_action(case),
            changes.adjust_lr_action(case),
        ),
    )


VANISHED = Phrase("Gradients have all but vanished!", "Gradient 소실!")
NORM_NOW = Phrase(
    "{metric}: {current}, since iteration {first_iteration}",
    "{metric}: {current}, iteration {first_iteration}부터",
)
LEVEL_WAS = Phrase("It was {level} at the start", "학습 초반에는 {level}")
DEAD_UNITS = Phrase(
    "The network has died: a learning rate that was too high has driven it to constant outputs",
    "너무 높은 learning rate로 출력이 상수가 되어 network가 죽음",
)
TOO_MUCH_DECAY = Phrase(
    "The weight decay is too strong: weights shrink to nothing",
    "Weight decay가 너무 강해서 weight가 0으로 줄어듦",
)
CUT_OFF = Phrase(
    "The loss does not reach the weights: frozen layers, a detached tensor, no visible joint in the labels",
    "Loss가 weight에 전달되지 않음: frozen layer, detach된 tensor, 보이는 joint가 없는 label",
)


def gradient_vanishing(case: Case) -> Advice:
    """Nothing is learnt any more."""
    evidence = case.evidence
    lines = [
        case.say(
            NORM_NOW,
            metric=case.metric,
            current=loss_digits(evidence["current"]),
            first_iteration=evidence["first_iteration"],
        )
    ]
    level = evidence.get("level")
    if level is not None:
        lines.append(case.say(LEVEL_WAS, level=loss_digits(level)))
    return Advice(
        message=case.message(VANISHED, *lines),
        causes=tuple(
            case.say(cause)
            for cause in ((DEAD_UNITS, TOO_MUCH_DECAY, CUT_OFF) if level else (CUT_OFF, DEAD_UNITS))
        ),
        actions=changes.present(
            changes.quick_check_action(case),
            changes.lower_lr_action(case),
            changes.no_weight_decay_action(case),
            changes.restore_action(case),
        ),
    )


CLIPPED = Phrase("Nearly every gradient is clipped", "거의 모든 gradient가 clipping됨")
CLIPPED_SHARE = Phrase(
    "{share} of the last {num_steps} steps; their norm is typically {typical}, max_norm is {max_norm}",
    "최근 {num_steps} step의 {share}; norm은 보통 {typical}, max_norm은 {max_norm}",
)
NORM_TOO_TIGHT = Phrase(
    "max_norm is too small for this model's gradients: every step has the same length",
    "max_norm이 gradient에 비해 너무 작음: 모든 step의 크기가 같아짐",
)
LARGE_GRADIENTS = Phrase(
    "The gradients are larger than they should be: learning rate, loss weights, labels",
    "Gradient가 비정상적으로 큼: learning rate, loss weight, label",
)
RAISE_NORM = Phrase("Clip less tightly", "Gradient clipping 완화")
FINE_IF_FALLING = Phrase(
    "If the loss falls as it should, leave it: Adam hardly feels clipping",
    "Loss가 잘 감소하면 그대로 두어도 됨: Adam은 clipping의 영향이 작음",
)


def always_clipped(case: Case) -> Advice:
    """Mostly a note; a warning where gradients are typically ten times too long."""
    evidence = case.evidence
    max_norm, typical = evidence["max_norm"], evidence["typical"]
    new = two_digits(2 * typical)
    raised = f"max_norm {setting(max_norm)} -> {setting(new)}"
    raised += changes.option(case, f"optimizer_config.grad_clip.max_norm={setting(new)}")
    return Advice(
        message=case.message(
            CLIPPED,
            case.say(
                CLIPPED_SHARE,
                share=percent(evidence["share"]),
                num_steps=evidence["num_steps"],
                typical=loss_digits(typical),
                max_norm=setting(max_norm),
            ),
        ),
        causes=(case.say(NORM_TOO_TIGHT), case.say(LARGE_GRADIENTS)),
        actions=(
            *((case.say(FINE_IF_FALLING),) if case.finding.severity == "info" else ()),
            case.act(RAISE_NORM, raised),
            changes.lower_lr_action(case),
        ),
    )


OTHER_LR = Phrase("The learning rate is not what the config says!", "Learning rate가 config와 다름!")
USED_EXPECTED = Phrase(
    "Used: {current}; expected: {expected}; since iteration {first_iteration}",
    "사용: {current}; 예상: {expected}; iteration {first_iteration}부터",
)
SOMEBODY_SETS_IT = Phrase(
    "A hook or code of yours sets the optimizer's learning rate",
    "직접 작성한 hook이나 코드가 optimizer의 learning rate를 변경함",
)
STALE_STATE = Phrase(
    "An optimizer state from another run brought its own learning rate",
    "다른 실행의 optimizer 상태가 그 learning rate를 가져옴",
)
CHECK_HOOKS = Phrase("Look for code that writes param_groups", "param_groups를 바꾸는 코드 확인")
CHECK_SCHEDULE_CONFIG = Phrase("Check the learning rate schedule", "Learning rate schedule 확인", guide=True)


def lr_unexpected(case: Case) -> Advice:
    """The optimizer and the config disagree."""
    evidence = case.evidence
    return Advice(
        message=case.message(
            OTHER_LR,
            case.say(
                USED_EXPECTED,
                current=f"{evidence['current']:.4g}",
                expected=f"{evidence['expected']:.4g}",
                first_iteration=evidence["first_iteration"],
            ),
        ),
        causes=(case.say(SOMEBODY_SETS_IT), case.say(STALE_STATE)),
        actions=(
            case.act(
                CHECK_SCHEDULE_CONFIG, f"sdpose config {case.facts.config_path}" if case.is_ours else None
            ),
            case.say(CHECK_HOOKS),
        ),
    )
