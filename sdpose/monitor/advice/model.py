"""What is said about the model's insides: heatmaps, tokens, the terms of the loss."""

from __future__ import annotations

from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.digits import percent, score
from sdpose.monitor.advice.gradients import DEAD_UNITS, TOO_MUCH_DECAY
from sdpose.monitor.advice.loss import CHECK_LABELS, LR_TOO_HIGH, PATIENCE, WRONG_LABELS
from sdpose.monitor.advice.phrase import Phrase
from sdpose.monitor.advice.score import EXTREME_OUTPUT, NO_HEATMAPS
from sdpose.monitor.guide_text import loss_digits, term_digits

LOST_PEAKS = Phrase("The heatmaps have gone flat!", "Heatmap이 평평해짐!")
NEVER_PEAKED = Phrase("The heatmaps are still flat!", "Heatmap이 아직도 평평함!")
FLAT_SHARE = Phrase(
    "{share} of the maps have no peak, since iteration {first_iteration}",
    "전체의 {share}에 peak가 없음, iteration {first_iteration}부터",
)
PEAK_NOW = Phrase("Mean peak: {peak}; it should be near 1", "평균 peak: {peak} (1에 가까워야 함)")
NO_TARGETS = Phrase(
    "The targets are empty: no visible joint, or boxes that miss the people",
    "Target이 비어 있음: 보이는 joint가 없거나 box가 사람을 벗어남",
)


def dead_heatmaps(case: Case) -> Advice:
    """The guide's case 2, seen hundreds of iterations before the evaluation shows it."""
    evidence = case.evidence
    has_lived = evidence.get("alive_until") is not None
    peak = evidence.get("heatmap_peak")
    lines = [
        case.say(FLAT_SHARE, share=percent(evidence["share"]), first_iteration=evidence["first_iteration"])
    ]
    if peak is not None:
        lines.append(case.say(PEAK_NOW, peak=score(peak)))
    return Advice(
        message=case.message(LOST_PEAKS if has_lived else NEVER_PEAKED, *lines),
        causes=tuple(
            case.say(cause)
            for cause in (
                (NO_HEATMAPS, DEAD_UNITS, TOO_MUCH_DECAY)
                if has_lived
                else (NO_HEATMAPS, NO_TARGETS, WRONG_LABELS, LR_TOO_HIGH)
            )
        ),
        actions=changes.present(
            changes.quick_check_action(case),
            changes.lower_lr_action(case),
            changes.no_weight_decay_action(case) if has_lived else None,
            changes.restore_action(case)
            if has_lived
            else case.act(CHECK_LABELS, changes.check(case, "annotations", "boxes", "picture")),
            None if has_lived else case.say(PATIENCE),
        ),
    )


SATURATED = Phrase("The heatmaps are far too high!", "Heatmap 값이 비정상적으로 큼!")
LARGEST = Phrase(
    "Largest value: {current}, since iteration {first_iteration}; a target's peak is 1",
    "최댓값: {current}, iteration {first_iteration}부터 (target의 peak는 1)",
)
HIGH_TARGETS = Phrase(
    "The targets are too high themselves: encoding, loss weights, an own loss term",
    "Target 자체가 너무 큼: encoding, loss weight, 직접 추가한 loss",
)


def saturated_heatmaps(case: Case) -> Advice:
    """Outputs that run away."""
    evidence = case.evidence
    return Advice(
        message=case.message(
            SATURATED,
            case.say(
                LARGEST,
                current=f"{evidence['current']:.3g}",
                first_iteration=evidence["first_iteration"],
            ),
        ),
        causes=tuple(case.say(cause) for cause in (LR_TOO_HIGH, EXTREME_OUTPUT, HIGH_TARGETS)),
        actions=changes.present(
            changes.lower_lr_action(case),
            changes.clip_action(case),
            changes.quick_check_action(case),
        ),
    )


SAME_TOKENS = Phrase(
    "The tokens are the same whatever the picture shows!", "이미지가 달라도 token이 모두 같음!"
)
TOKEN_SPREAD = Phrase(
    "{metric}: {current}, since iteration {first_iteration}",
    "{metric}: {current}, iteration {first_iteration}부터",
)
TOKEN_LEVEL = Phrase("It was {level} before", "이전에는 {level}")
SAME_PICTURES = Phrase(
    "All pictures look the same to it: images that fail to load, wrong normalisation, a dead backbone",
    "모든 이미지가 같게 들어옴: 읽기 실패한 이미지, 잘못된 normalization, 죽은 backbone",
)
WEIGHTS_SHRANK = Phrase(
    "All weights have shrunk meanwhile: norm {first} -> {last}",
    "그동안 모든 weight가 줄어듦: norm {first} → {last}",
)
# Healthy training changes the norm of all weights by some percent.
SHRUNK = 0.7
DISTILLED_AWAY = Phrase(
    "The token losses weigh too much and pull the tokens together",
    "Token loss의 weight가 너무 커서 token이 서로 같아짐",
)


def dead_tokens(case: Case) -> Advice:
    """A model that no longer looks."""
    evidence = case.evidence
    lines = [
        case.say(
            TOKEN_SPREAD,
            metric=case.metric,
            current=term_digits(evidence["current"]),
            first_iteration=evidence["first_iteration"],
        )
    ]
    if evidence.get("level") is not None:
        lines.append(case.say(TOKEN_LEVEL, level=term_digits(evidence["level"])))
    norms = evidence.get("weight_norms") or [1.0]
    shrunk = norms[-1] < SHRUNK * norms[0]
    if shrunk:
        lines.append(case.say(WEIGHTS_SHRANK, first=f"{norms[0]:.3g}", last=f"{norms[-1]:.3g}"))
    causes = (TOO_MUCH_DECAY, DEAD_UNITS) if shrunk else (DEAD_UNITS, TOO_MUCH_DECAY)
    decay = changes.no_weight_decay_action(case)
    lower = changes.lower_lr_action(case)
    return Advice(
        message=case.message(SAME_TOKENS, *lines),
        causes=tuple(case.say(cause) for cause in (*causes, SAME_PICTURES, DISTILLED_AWAY)),
        actions=changes.present(
            *((decay, lower) if shrunk else (lower, decay)),
            changes.quick_check_action(case),
            changes.restore_action(case),
        ),
    )


TERM_GONE = Phrase("A loss term is missing: {missing}!", "Loss 항목이 없음: {missing}!")
TERMS_THERE = Phrase(
    "Since iteration {first_iteration}; there are: {present}",
    "Iteration {first_iteration}부터; 현재 항목: {present}",
)
NO_TERMS = Phrase(
    "Since iteration {first_iteration}; there is no other", "Iteration {first_iteration}부터; 다른 항목 없음"
)
TERM_DROPPED = Phrase(
    "The model's or your own loss code leaves it out", "모델이나 직접 작성한 loss 코드가 이 항목을 빠뜨림"
)
CONFIG_LOSSES = Phrase(
    "Compare the loss_... entries of keypoint_head with what you meant",
    "keypoint_head의 loss_... 항목이 의도와 같은지 확인",
)
CHECK_OWN_LOSS = Phrase("Check the code that returns the loss terms", "Loss 항목을 반환하는 코드 확인")


def loss_term_missing(case: Case) -> Advice:
    """The guide: every loss term shall be computed."""
    evidence = case.evidence
    there = ", ".join(evidence["present"])
    first = evidence["first_iteration"]
    return Advice(
        message=case.message(
            TERM_GONE,
            case.say(TERMS_THERE, first_iteration=first, present=there)
            if there
            else case.say(NO_TERMS, first_iteration=first),
            missing=", ".join(evidence["missing"]),
        ),
        causes=(case.say(TERM_DROPPED),),
        actions=changes.present(
            case.act(CONFIG_LOSSES, f"sdpose config {case.facts.config_path}") if case.is_ours else None,
            case.say(CHECK_OWN_LOSS),
        ),
    )


TERM_ZERO = Phrase("{metric} is exactly 0", "{metric}가 정확히 0")
ZERO_SINCE = Phrase(
    "In {num_iterations} iterations in a row, since iteration {first_iteration}",
    "Iteration {first_iteration}부터 {num_iterations}회 연속",
)
NEVER_ELSE = Phrase("It has never been anything else", "처음부터 0")
WEIGHT_ZERO = Phrase(
    "Its weight is 0, or there is one cycle only and nothing to distil",
    "Weight가 0이거나 cycle이 하나뿐이라 distillation이 없음",
)
NOTHING_VISIBLE = Phrase(
    "No joint of these batches is labelled as visible", "이 batch들에 보이는 joint label이 없음"
)
SAME_TOKENS_AGAIN = Phrase("The tokens of all cycles have become equal", "모든 cycle의 token이 같아짐")


def loss_term_zero(case: Case) -> Advice:
    """A term that teaches nothing."""
    evidence = case.evidence
    lines = [
        case.say(
            ZERO_SINCE,
            num_iterations=evidence["num_iterations"],
            first_iteration=evidence["first_iteration"],
        )
    ]
    if not evidence["has_lived"]:
        lines.append(case.say(NEVER_ELSE))
    of_tokens = "dist" in case.metric
    causes = [
        None if evidence["has_lived"] else WEIGHT_ZERO,
        SAME_TOKENS_AGAIN if of_tokens else NOTHING_VISIBLE,
        None if of_tokens else WRONG_LABELS,
    ]
    return Advice(
        message=case.message(TERM_ZERO, *lines, metric=case.metric),
        causes=tuple(case.say(cause) for cause in causes if cause is not None),
        actions=changes.present(
            changes.quick_check_action(case),
            case.act(CONFIG_LOSSES, f"sdpose config {case.facts.config_path}") if case.is_ours else None,
            None if case.is_ours else case.say(CHECK_OWN_LOSS),
        ),
    )


SWALLOWED = Phrase("{metric} swallows the other loss terms!", "{metric}가 다른 loss를 압도함!")
SHARES = Phrase(
    "It is {share} of the loss, {main} only {main_share}, since iteration {first_iteration}",
    "전체 loss의 {share}, {main}는 {main_share}뿐, iteration {first_iteration}부터",
)
WEIGHT_TOO_LARGE = Phrase("Its loss_weight is too large", "loss_weight가 너무 큼")
TERM_DIVERGES = Phrase("The term itself diverges", "이 항목 자체가 발산함")
LOWER_WEIGHT = Phrase("Lower its weight", "이 항목의 weight 감소")
# Published, and where it is set.
TOKEN_WEIGHT = "5e-6"
TOKEN_LOSSES = {"vis_dist_loss": "loss_vis_token_dist", "kpt_dist_loss": "loss_kpt_token_dist"}


def loss_term_swallowing(case: Case) -> Advice:
    """The optimizer works for one term alone."""
    evidence = case.evidence
    setting = TOKEN_LOSSES.get(case.metric)
    weight = None
    if setting is not None and case.is_ours:
        weight = f"loss_weight -> {TOKEN_WEIGHT}" + changes.option(
            case, f"model.keypoint_head.{setting}.loss_weight={TOKEN_WEIGHT}"
        )
    return Advice(
        message=case.message(
            SWALLOWED,
            case.say(
                SHARES,
                share=percent(evidence["share"]),
                main=evidence["main"],
                main_share=percent(evidence["main_share"]),
                first_iteration=evidence["first_iteration"],
            ),
            *(f"{name}: {loss_digits(value)}" for name, value in evidence["terms"].items()),
            metric=case.metric,
        ),
        causes=(case.say(WEIGHT_TOO_LARGE), case.say(TERM_DIVERGES)),
        actions=(case.act(LOWER_WEIGHT, weight), changes.lower_lr_action(case)),
    )
