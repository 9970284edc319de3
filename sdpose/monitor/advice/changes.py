"""Concrete changes to a run: its own numbers, old and new, and how to set them. None where the numbers are unknown."""

from __future__ import annotations

import shlex

from sdpose.monitor.advice.case import Case
from sdpose.monitor.advice.digits import setting, two_digits
from sdpose.monitor.advice.phrase import Phrase

# The guide's own steps: max_norm 5.0 -> 3.0, lr 1e-3 -> 3e-3, batches of at least 32, workers 2 -> 4 or 8.
CLIP_TIGHTER = 0.6
FIRST_MAX_NORM = 5.0
RAISE_LR = 3.0
LOWER_LR = 0.5
# Of the published recipe. From a rate that is far from it, small steps lead nowhere.
PUBLISHED_LR = 1e-3
FAR_TOO_HIGH, FAR_TOO_LOW = 1e-2, 1e-4
SMALLEST_BATCH = 32
MOST_WORKERS = 8
WARMUP_ITERATIONS = 500

CHECK_CLIPPING = Phrase(
    "Check gradient clipping (now: max_norm={max_norm})",
    "Gradient clipping 확인 (현재: max_norm={max_norm})",
    guide=True,
)
CHECK_CLIPPING_OFF = Phrase("Check gradient clipping (now: off)", "Gradient clipping 확인 (현재: 없음)")
CHECK_CLIPPING_UNKNOWN = Phrase("Check gradient clipping", "Gradient clipping 확인", guide=True)
CLIP_TIGHTER_FROM = Phrase(
    "Gradient explosion -> clip gradients tighter ({old_norm} -> {new_norm})",
    "Gradient explosion → Gradient clipping 강화 ({old_norm} → {new_norm})",
    guide=True,
)
CLIP_ON = Phrase(
    "Gradient explosion -> turn gradient clipping on", "Gradient explosion → Gradient clipping 추가"
)
CLIP_MORE = Phrase(
    "Gradient explosion -> clip gradients, or tighter",
    "Gradient explosion → Gradient clipping 강화",
    guide=True,
)
LOWER = Phrase("The learning rate is too high -> lower it", "Learning rate가 너무 높음 → 감소", guide=True)
LOWER_OR_WARM_UP = Phrase(
    "The learning rate is too high -> lower it or add a warm-up",
    "Learning rate가 너무 높음 → 감소 또는 warmup 추가",
    guide=True,
)
RAISE_FROM = Phrase(
    "The learning rate is too low -> raise it in the config ({old_lr} -> {new_lr})",
    "Learning rate가 너무 작음 → config에서 증가 시도 ({old_lr} → {new_lr})",
    guide=True,
)
RAISE = Phrase(
    "The learning rate is too low -> try to raise it in the config",
    "Learning rate가 너무 작음 → config에서 증가 시도",
    guide=True,
)
ADJUST_LR = Phrase(
    "The batch size was changed -> change the learning rate along with it",
    "Batch size 변경 시 발생 → Learning rate도 함께 조정",
    guide=True,
)
BATCH_NOW = Phrase(
    "batch now: samples_per_gpu {samples} x {processes} = {total}, lr {lr}",
    "현재 batch: samples_per_gpu {samples} x {processes} = {total}, lr {lr}",
)
LARGER_BATCH = Phrase(
    "The batch is too small -> at least 32 are recommended",
    "Batch size가 너무 작음 → 최소 32 이상 권장",
    guide=True,
)
CHECK_DECAY = Phrase("Check the weight decay of the optimizer", "Optimizer의 weight decay 확인")
RESTORE_EARLIER = Phrase(
    "Go back to an earlier checkpoint, from before the fault",
    "이전 checkpoint로 복원: 문제가 생긴 시점 이전으로",
    guide=True,
)
RUN_QUICK_CHECK = Phrase("Run the quick check", "Quick check 실행", guide=True)
CHECK_CONFIG = Phrase(
    "Trouble this early: check the config", "이 시기에 문제가 있으면 config 점검 필요", guide=True
)
FIND_CAUSE = Phrase(
    "Find the cause by experiment, with the pictures and the layer where it begins",
    "실험으로 원인 확인 (문제의 이미지와 layer까지)",
)


def lower_lr(case: Case) -> str | None:
    """`lr 1e-3 -> 5e-4 (--cfg-options optimizer.lr=5e-4)`."""
    if case.facts.lr is None:
        return None
    far = case.is_ours and case.facts.lr > FAR_TOO_HIGH
    return _lr(case, PUBLISHED_LR if far else two_digits(case.facts.lr * LOWER_LR))


def lower_lr_action(case: Case) -> str:
    """Lower the rate, or add the warm-up that the run does not have."""
    facts = case.facts
    if not knows_settings(case):
        return case.act(LOWER_OR_WARM_UP)
    if facts.warmup_iterations:
        return case.act(LOWER, lower_lr(case))
    warm_up = option(case, f"lr_config.warmup=linear lr_config.warmup_iters={WARMUP_ITERATIONS}")
    return case.act(LOWER_OR_WARM_UP, _joined(lower_lr(case), f"warmup none -> linear{warm_up}"))


def raise_lr_action(case: Case) -> str:
    """The guide's case 1."""
    lr = case.facts.lr
    if lr is None:
        return case.act(RAISE)
    far = case.is_ours and lr < FAR_TOO_LOW
    new = PUBLISHED_LR if far else two_digits(lr * RAISE_LR)
    return case.act(RAISE_FROM, _lr(case, new), old_lr=setting(lr), new_lr=setting(new))


def check_clipping_action(case: Case) -> str:
    """The guide's words for a spike, with the run's own norm and the tighter one."""
    max_norm = case.facts.max_norm
    if max_norm is not None:
        return case.act(CHECK_CLIPPING, clip(case), max_norm=max_norm)
    return case.act(CHECK_CLIPPING_OFF if knows_settings(case) else CHECK_CLIPPING_UNKNOWN, clip(case))


def clip_action(case: Case) -> str:
    """The guide's words for an explosion."""
    max_norm = case.facts.max_norm
    if max_norm is not None:
        return case.act(CLIP_TIGHTER_FROM, clip(case), old_norm=max_norm, new_norm=_tighter(max_norm))
    return case.act(CLIP_ON if knows_settings(case) else CLIP_MORE, clip(case))


def clip(case: Case) -> str | None:
    """`max_norm 5.0 -> 3.0 (--cfg-options ...)`, or how to turn clipping on."""
    max_norm = case.facts.max_norm
    if max_norm is None:
        if not knows_settings(case):
            return None
        # A config with grad_clip=None has no such key yet, so the whole dict is shown.
        grad_clip = f" (optimizer_config = dict(grad_clip=dict(max_norm={FIRST_MAX_NORM}, norm_type=2)))"
        return f"max_norm none -> {FIRST_MAX_NORM}{grad_clip if case.is_ours else ''}"
    new = _tighter(max_norm)
    return f"max_norm {max_norm} -> {new}{option(case, f'optimizer_config.grad_clip.max_norm={new}')}"


def adjust_lr_action(case: Case) -> str:
    """The guide's reminder that batch size and learning rate belong together."""
    facts = case.facts
    sentence = case.say(ADJUST_LR)
    if facts.samples_per_gpu is None or facts.lr is None:
        return sentence
    now = case.say(
        BATCH_NOW,
        samples=facts.samples_per_gpu,
        processes=facts.num_processes,
        total=facts.samples_per_gpu * facts.num_processes,
        lr=setting(facts.lr),
    )
    return f"{sentence} ({now})"


def larger_batch_action(case: Case) -> str | None:
    """The guide's "at least 32"; None where the batch has them."""
    samples = case.facts.samples_per_gpu
    if samples is None:
        return None if knows_settings(case) else case.act(LARGER_BATCH)
    if samples * case.facts.num_processes >= SMALLEST_BATCH:
        return None
    enough = -(-SMALLEST_BATCH // case.facts.num_processes)
    return case.act(
        LARGER_BATCH, f"samples_per_gpu {samples} -> {enough}{option(case, f'data.samples_per_gpu={enough}')}"
    )


def no_weight_decay_action(case: Case) -> str:
    """The published recipe has none."""
    return case.act(
        CHECK_DECAY, f"weight_decay -> 0{option(case, 'optimizer.weight_decay=0')}" if case.is_ours else None
    )


def restore_action(case: Case, phrase: Phrase = RESTORE_EARLIER, checkpoint: str | None = None) -> str:
    """Go back: to `checkpoint`, or to the newest one from before the fault as far as the settings tell."""
    name = checkpoint or last_checkpoint(case)
    return case.act(
        phrase, None if name is None or not case.is_ours else f"--resume-from {in_work_dir(case, name)}"
    )


def last_checkpoint(case: Case) -> str | None:
    """The newest epoch_N.pth that was written before the fault."""
    interval = case.facts.checkpoint_interval
    if interval is None or interval < 1:
        return None
    epoch = (case.finding.epoch - 1) // interval * interval
    return f"epoch_{epoch}.pth" if epoch > 0 else None


def quick_check_action(case: Case) -> str | None:
    """The guide's command with the run's own config."""
    return (
        None
        if not case.is_ours
        else case.act(RUN_QUICK_CHECK, f"python tools/quick_check.py {case.facts.config_path}")
    )


def check_config_action(case: Case) -> str:
    """The guide's tip for the first sixth of a run."""
    return case.act(CHECK_CONFIG, f"sdpose config {case.facts.config_path}" if case.is_ours else None)


def find_cause_action(case: Case, options: str = "") -> str | None:
    """`sdpose explain RUN`."""
    return None if not case.is_ours else case.act(FIND_CAUSE, f"sdpose explain {_folder(case)}{options}")


def check(case: Case, *questions: str) -> str | None:
    """`sdpose check CONFIG --only ...`: the questions of the pre-flight check that look at this."""
    return f"sdpose check {case.facts.config_path} --only {' '.join(questions)}" if case.is_ours else None


def in_work_dir(case: Case, name: str) -> str:
    """A file of the run."""
    return f"{_folder(case)}/{name}"


def option(case: Case, assignments: str) -> str:
    """How to set it from the command line; empty for the runs of others, whose configs we do not know."""
    return f" (--cfg-options {assignments})" if case.is_ours else ""


def knows_settings(case: Case) -> bool:
    """Whether a None among the facts says "there is none" rather than "nobody knows"."""
    return case.is_ours or case.facts.lr is not None


def present(*actions: str | None) -> tuple[str, ...]:
    """Those that apply."""
    return tuple(action for action in actions if action is not None)


def _lr(case: Case, new: float) -> str:
    assert case.facts.lr is not None
    return f"lr {setting(case.facts.lr)} -> {setting(new)}{option(case, f'optimizer.lr={setting(new)}')}"


def _tighter(max_norm: float) -> float:
    return two_digits(max_norm * CLIP_TIGHTER)


def _joined(*changes: str | None) -> str:
    return "; ".join(present(*changes))


def _folder(case: Case) -> str:
    """As a shell takes it: commands are copied."""
    return shlex.quote(str(case.facts.work_dir)) if case.facts.work_dir else "work_dirs/*"
