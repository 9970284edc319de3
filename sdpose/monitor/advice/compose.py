"""Which causes and actions belong to which fault, with the numbers of the run filled in.

The words are in `ko.py` and `en.py`. An action is a sentence and, where the run's facts allow it, the exact
change: `max_norm 5.0 -> 3.0 (--cfg-options optimizer_config.grad_clip.max_norm=3.0)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sdpose.monitor.advice import en, ko
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts

TEXTS: Mapping[str, Mapping[str, str]] = {"en": en.TEXTS, "ko": ko.TEXTS}

# The guide's own step is 5.0 -> 3.0.
CLIP_TIGHTER = 0.6
FIRST_MAX_NORM = 5.0
LOWER_LR = 0.5
WARMUP_ITERATIONS = 500

Text = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Advice:
    """Most probable, or to be tried, first."""

    causes: tuple[str, ...]
    actions: tuple[str, ...]


def advise(finding: Finding, facts: RunFacts, language: str) -> Advice:
    """Causes and actions for a finding; both empty for a kind that has none."""
    compose = _COMPOSERS.get(finding.kind)
    return compose(finding, facts, TEXTS[language]) if compose else Advice((), ())


def _loss_spike(finding: Finding, facts: RunFacts, text: Text) -> Advice:
    iterations = text["check_data_iterations"].format(
        first=finding.evidence["first_iteration"], last=finding.iteration
    )
    actions = [
        _joined(text["check_lr"], _lower_lr(facts)),
        _joined(_check_clipping(facts, text), _clip(facts)),
        _joined(text["check_data"], iterations),
        _adjust_lr(facts, text),
    ]
    if _phase(finding, facts) == "middle":
        actions.append(text["mid_run_spike"])
    return Advice(
        (text["lr_too_high"], text["gradient_explosion"], text["faulty_data"], text["batch_size_changed"]),
        tuple(actions),
    )


def _non_finite(finding: Finding, facts: RunFacts, text: Text) -> Advice:
    if facts.max_norm is None:
        clip = text["clip_on"]
    else:
        clip = text["clip_tighter"].format(old=facts.max_norm, new=_tighter(facts.max_norm))
    lower = _joined(text["lower_lr" if facts.warmup_iterations else "lower_lr_or_warm_up"], _lower_lr(facts))
    if not facts.warmup_iterations:
        warm_up = f"lr_config.warmup=linear lr_config.warmup_iters={WARMUP_ITERATIONS}"
        lower += f"; warmup none -> linear (--cfg-options {warm_up})"
    return Advice(
        (
            text["gradient_explosion"],
            text["lr_too_high"],
            text["batch_size_changed"],
            text["abnormal_output"],
        ),
        (
            _joined(clip, _clip(facts)),
            lower,
            _adjust_lr(facts, text),
            _joined(text["restore_earlier"], _resume(facts, _last_checkpoint(finding, facts))),
            _joined(text["run_quick_check"], _quick_check(facts)),
            _joined(text["grep_log"], f'grep -i "nan\\|inf" {_in_work_dir(facts, "latest.log")}'),
        ),
    )


def _performance_drop(finding: Finding, facts: RunFacts, text: Text) -> Advice:
    causes = [text["overfitting"]]
    best = f"best_{finding.metric}_epoch_{finding.evidence['best_epoch']}.pth"
    actions = [
        text["check_schedule"],
        _joined(text["restore_best"], _resume(facts, best if facts.saves_best else None)),
    ]
    if f"{finding.value:.4f}" == "0.0000":
        # No mention of NaN here: nobody has seen one, and the guide greps the log for it.
        causes = [text["no_heatmaps"], text["extreme_output"], *causes]
        actions.insert(0, _joined(text["run_quick_check"], _quick_check(facts)))
    if _phase(finding, facts) == "late":
        actions.append(text["stop_early"])
    return Advice(tuple(causes), tuple(actions))


_COMPOSERS: Mapping[str, Callable[[Finding, RunFacts, Text], Advice]] = {
    "loss_spike": _loss_spike,
    "non_finite": _non_finite,
    "performance_drop": _performance_drop,
}


def _joined(sentence: str, change: str | None) -> str:
    return sentence if change is None else f"{sentence}: {change}"


def _lower_lr(facts: RunFacts) -> str | None:
    if facts.lr is None:
        return None
    lower = _two_digits(facts.lr * LOWER_LR)
    return f"lr {facts.lr} -> {lower} (--cfg-options optimizer.lr={lower})"


def _check_clipping(facts: RunFacts, text: Text) -> str:
    if facts.max_norm is None:
        return text["check_clipping_off"]
    return text["check_clipping"].format(max_norm=facts.max_norm)


def _clip(facts: RunFacts) -> str:
    if facts.max_norm is None:
        # A config with grad_clip=None has no such key yet, so the whole dict is shown.
        grad_clip = f"optimizer_config = dict(grad_clip=dict(max_norm={FIRST_MAX_NORM}, norm_type=2))"
        return f"max_norm none -> {FIRST_MAX_NORM} ({grad_clip})"
    new = _tighter(facts.max_norm)
    return f"max_norm {facts.max_norm} -> {new} (--cfg-options optimizer_config.grad_clip.max_norm={new})"


def _tighter(max_norm: float) -> float:
    return _two_digits(max_norm * CLIP_TIGHTER)


def _adjust_lr(facts: RunFacts, text: Text) -> str:
    if facts.samples_per_gpu is None or facts.lr is None:
        return text["adjust_lr"]
    now = text["adjust_lr_batch"].format(
        samples=facts.samples_per_gpu,
        processes=facts.num_processes,
        total=facts.samples_per_gpu * facts.num_processes,
        lr=facts.lr,
    )
    return f"{text['adjust_lr']} ({now})"


def _last_checkpoint(finding: Finding, facts: RunFacts) -> str | None:
    """The newest epoch_N.pth that was written before the fault, as far as the settings tell."""
    if facts.checkpoint_interval is None or facts.checkpoint_interval < 1:
        return None
    epoch = (finding.epoch - 1) // facts.checkpoint_interval * facts.checkpoint_interval
    return f"epoch_{epoch}.pth" if epoch else None


def _resume(facts: RunFacts, checkpoint: str | None) -> str | None:
    return None if checkpoint is None else f"--resume-from {_in_work_dir(facts, checkpoint)}"


def _in_work_dir(facts: RunFacts, name: str) -> str:
    return f"work_dirs/*/{name}" if facts.work_dir is None else str(facts.work_dir / name)


def _quick_check(facts: RunFacts) -> str:
    return f"python tools/quick_check.py {facts.config_path or 'CONFIG'}"


def _phase(finding: Finding, facts: RunFacts) -> str | None:
    """The guide's thirds of a run, 1-50, 50-150 and 150-300 of 300 epochs, scaled to this run's length."""
    if not facts.total_epochs:
        return None
    share = finding.epoch / facts.total_epochs
    return "early" if share < 50 / 300 else "middle" if share < 150 / 300 else "late"


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")
