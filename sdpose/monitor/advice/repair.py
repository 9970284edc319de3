"""What is said when the run repairs itself (`monitor=dict(on_alert='recover')`), and when it cannot."""

from __future__ import annotations

from collections.abc import Mapping

from sdpose.monitor.advice import changes
from sdpose.monitor.advice.case import Advice, Case
from sdpose.monitor.advice.phrase import Phrase

REPAIRED = Phrase("The run was repaired", "학습을 자동으로 복구함")
WOULD_REPAIR = Phrase("The run would be repaired (dry run)", "자동 복구 예정 (dry run)")
HELPED = Phrase("The repair has helped", "자동 복구 효과 확인됨")
FAILED = Phrase("The run could not be repaired!", "자동 복구 실패!")
BECAUSE = Phrase("Because of {cause} at iteration {iteration}", "원인: {cause} (iteration {iteration})")
ATTEMPT = Phrase("Repair {number} of at most {most}", "복구 {number}회째 (최대 {most}회)")
REASON = Phrase("Reason: {reason}", "이유: {reason}")

STEPS: Mapping[str, Phrase] = {
    "skip": Phrase("Batches left out: iterations {change}", "제외한 batch: iteration {change}"),
    "clip": Phrase("Gradients clipped tighter: {change}", "Gradient clipping 강화: {change}"),
    "lower_lr": Phrase("Learning rate lowered: {change}", "Learning rate 감소: {change}"),
    "roll_back": Phrase("Gone back to: {change}", "이전 상태로 복원: {change}"),
}

WATCH = Phrase(
    "Nothing to do now; whether it helped is checked and told",
    "지금 할 일 없음; 효과가 있었는지 확인하여 알림",
)
LET_IT = Phrase("To let it happen", "실제로 복구하려면")
SAME_AGAIN = Phrase("The fault comes back whatever was tried", "시도한 방법으로도 문제가 다시 발생함")


def recovery(case: Case) -> Advice:
    """A repair was made, would have been, or has proved itself."""
    evidence = case.evidence
    if evidence.get("helped"):
        return Advice(
            case.message(HELPED, *_lines(case)), (), changes.present(changes.find_cause_action(case))
        )
    if evidence.get("dry_run"):
        let_it = case.act(LET_IT, "--cfg-options monitor.dry_run=False")
        return Advice(case.message(WOULD_REPAIR, *_lines(case)), (), (let_it,))
    return Advice(
        message=case.message(REPAIRED, *_lines(case)),
        causes=(),
        actions=changes.present(case.say(WATCH), changes.find_cause_action(case)),
    )


def recovery_failed(case: Case) -> Advice:
    """Repairs are used up, or none was possible."""
    return Advice(
        message=case.message(FAILED, *_lines(case)),
        causes=(case.say(SAME_AGAIN),),
        actions=changes.present(
            changes.find_cause_action(case),
            changes.restore_action(case),
            changes.lower_lr_action(case),
            changes.quick_check_action(case),
        ),
    )


def _lines(case: Case) -> list[str]:
    """What happened, as far as the evidence tells: cause, steps, number and most, reason."""
    evidence = case.evidence
    lines = []
    if "cause" in evidence:
        iteration = evidence.get("cause_iteration", case.finding.iteration)
        lines.append(case.say(BECAUSE, cause=evidence["cause"], iteration=iteration))
    for step, change in evidence.get("steps", {}).items():
        lines.append(case.say(STEPS[step], change=change) if step in STEPS else f"{step}: {change}")
    if "number" in evidence and "most" in evidence:
        lines.append(case.say(ATTEMPT, number=evidence["number"], most=evidence["most"]))
    if evidence.get("reason"):
        lines.append(case.say(REASON, reason=evidence["reason"]))
    return lines
