"""It does not learn: is the model alive, do gradients reach it, and which change lets it learn a single batch?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from sdpose.assemble.model import build_model
from sdpose.explain.bench import Bench, StepRules
from sdpose.explain.case import Case
from sdpose.explain.compose import compose
from sdpose.explain.computation import Batch
from sdpose.explain.explanation import Explanation
from sdpose.explain.halves import Seat, part
from sdpose.explain.notebook import Answer, Notebook, shown
from sdpose.explain.replay import Replay
from sdpose.explain.verdict import Conclusion, Phrase
from sdpose.training.vital_signs import FLAT_PEAK, output_signs

LEARNING_KINDS = ("no_learning", "dead_heatmaps", "dead_tokens", "gradient_vanishing", "behind_schedule")
# Enough to see a loss fall, few enough for a CPU.
NUM_STEPS = 30
NUM_SAMPLES = 8
# One batch seen so often is learnt when its loss falls to this part of what it was and of what empty maps would give;
# a change helps when it ends so far below the run's own way.
LEARNT = 0.7
# Other learning rates that are tried.
FACTORS = {"lower": 0.1, "higher": 10.0}
# Below this share of their own scale the tokens of different images are the same.
SAME_TOKENS = 1e-3


@dataclass(frozen=True)
class _Trial:
    """Thirty steps on one batch, made in some way."""

    name: str
    rules: StepRules = field(default_factory=StepRules)
    fresh: bool = False
    """From random weights instead of the run's."""


def explain_learning(case: Case, bench: Bench, film: Replay, notebook: Notebook) -> Explanation:
    """Explain a run that does not learn, by what would have learnt."""
    batch = _few(film.recent[-1].batch)
    dead, unreached = _ask_alive(bench, batch, notebook), _ask_gradients(bench, batch, notebook)
    lr = bench.next_lr()
    decay = bench.optimizer.param_groups[0].get("weight_decay") or 0.0
    trials = [_Trial("as_it_is"), *(_Trial(name, StepRules(lr_factor=f)) for name, f in FACTORS.items())]
    if decay > 0:
        trials.append(_Trial("no_decay", StepRules(weight_decay=0.0)))
    trials.append(_Trial("fresh", fresh=True))
    empty = _loss_of_empty_maps(bench, batch)
    ends: dict[str, float] = {}
    learnt = False
    for trial in trials:

        def learn(trial: _Trial = trial) -> Answer:
            first, last = _learn(bench, batch, trial)
            ends[trial.name] = last if math.isfinite(last) else math.inf
            own_way = trial.name == "as_it_is"
            bound = min(first, empty) if own_way else ends.get("as_it_is", first)
            numbers = {"first": shown(first), "last": shown(last), "empty": shown(empty)}
            if last <= LEARNT * bound:
                return Answer("healthy", "answer.learns", numbers)
            return Answer("fault", "answer.does_not_learn", numbers)

        numbers = {"lr": shown(lr * trial.rules.lr_factor), "decay": shown(decay), "steps": NUM_STEPS}
        healthy = notebook.ask(f"learn.{trial.name}", learn, **numbers).is_healthy
        if trial.name == "as_it_is" and healthy:
            learnt = True
            break
        if not healthy and trial.name != "as_it_is":
            ends.pop(trial.name, None)
    conclusion = _conclude(case, ends, learnt, unreached=[] if dead else unreached, lr=lr, decay=decay)
    return compose(case, bench.machine, notebook, conclusion, film=film)


def _loss_of_empty_maps(bench: Bench, batch: Batch) -> float:
    """What heatmaps of zeros would cost: the published loss, summed over the cycles."""
    with bench.unmoved(), torch.no_grad():
        result = bench.computation.run(batch[0])
    per_joint = result.target.square().mean(dim=(2, 3)) * result.weight[..., 0]  # (N, K)
    return float(per_joint.mean()) * len(result.cycles)


def _ask_alive(bench: Bench, batch: Batch, notebook: Notebook) -> bool:
    """Whether heatmaps have peaks and tokens look at the image."""
    dead = False

    def alive() -> Answer:
        nonlocal dead
        with bench.unmoved(), torch.no_grad():
            cycle = bench.computation.run(batch[0]).cycles[0]
        signs = {
            name: float(value)
            for name, value in output_signs(
                cycle.heatmaps, cycle.keypoint_tokens, cycle.visual_tokens
            ).items()
        }
        scale = float(cycle.keypoint_tokens.float().std())
        flat, same = signs["heatmap_flat"], signs.get("kpt_token_std", math.nan) < SAME_TOKENS * scale
        dead = flat > 0.9 or same
        numbers = {
            "peak": shown(signs["heatmap_peak"]),
            "flat": f"{flat:.0%}",
            "below": FLAT_PEAK,
            "spread": shown(signs.get("kpt_token_std")),
        }
        return Answer("fault" if dead else "healthy", f"answer.{'dead' if dead else 'alive'}", numbers)

    notebook.ask("alive", alive)
    return dead


def _ask_gradients(bench: Bench, batch: Batch, notebook: Notebook) -> list[str]:
    """Parameters that no gradient reaches."""
    unreached: list[str] = []

    def reached() -> Answer:
        with bench.unmoved():
            bench.optimizer.zero_grad(set_to_none=True)
            bench.computation.backward(batch)
            unreached.extend(
                name
                for name, parameter in bench.model.named_parameters()
                if parameter.requires_grad and (parameter.grad is None or not bool(parameter.grad.any()))
            )
        if unreached:
            return Answer("fault", "answer.unreached", {"num": len(unreached), "first": unreached[0]})
        return Answer("healthy", "answer.reached")

    notebook.ask("gradients", reached)
    return unreached


def _learn(bench: Bench, batch: Batch, trial: _Trial) -> tuple[float, float]:
    """The loss of the batch before and after steps on nothing else."""
    with bench.unmoved():
        bench.optimizer.state.clear()
        if trial.fresh:
            fresh = build_model(bench.settings, pretrained=False).state_dict()
            with torch.no_grad():
                for name, tensor in bench.model.state_dict().items():
                    tensor.copy_(fresh[name])
        place = bench.progress.iteration, bench.progress.epoch, bench.progress.batch
        losses = []
        for _ in range(NUM_STEPS):
            losses.append(bench.advance(batch, trial.rules).values["loss"])
            # The learning rate of here and now, all the time.
            bench.progress.iteration, bench.progress.epoch, bench.progress.batch = place
        return losses[0], losses[-1]


def _few(batch: Batch) -> Batch:
    """A few samples of the first share."""
    return part(batch, [Seat(0, position) for position in range(min(NUM_SAMPLES, len(batch[0])))])


def _conclude(
    case: Case, ends: dict[str, float], learnt: bool, *, unreached: list[str], lr: float, decay: float
) -> Conclusion:
    """`ends` are the last losses of the run's own way and of the changes that helped."""
    resume: Phrase = ("action.resume", {"path": str(case.checkpoint.path)})
    if len(unreached) > 1:
        numbers = {"num": len(unreached), "first": unreached[0]}
        actions: list[Phrase] = [("action.check", _config(case))]
        return Conclusion("settings", ("verdict.learning.unreached", numbers), actions=actions)
    if learnt:
        labels: Phrase = ("action.labels", {"ann_file": case.settings.data.train.ann_file})
        actions = [("action.check", _config(case)), labels]
        return Conclusion("data", ("verdict.learning.data", {"steps": NUM_STEPS}), actions=actions)
    helped = {name: end for name, end in ends.items() if name != "as_it_is"}
    best = min(helped, key=lambda name: helped[name]) if helped else None
    if best in FACTORS:
        factor, old = FACTORS[best], case.settings.optimizer.lr
        rates = {"lr": shown(lr), "new": shown(lr * factor)}
        change: Phrase = ("action.lr", {"old": f"{old:g}", "new": f"{old * factor:g}"})
        return Conclusion("settings", (f"verdict.learning.{best}", rates), actions=[change, resume])
    if best == "no_decay":
        change = ("action.weight_decay", {"old": shown(decay)})
        return Conclusion(
            "settings", ("verdict.learning.no_decay", {"decay": shown(decay)}), actions=[change, resume]
        )
    if best == "fresh":
        actions = [("action.anew", {}), ("action.earlier", {"work_dir": str(case.work_dir)})]
        return Conclusion("state", ("verdict.learning.fresh", {}), actions=actions)
    return Conclusion(
        None, ("verdict.learning.unclear", {"steps": NUM_STEPS}), actions=[("action.plateau", {})]
    )


def _config(case: Case) -> dict[str, str]:
    name = case.incident.config if case.incident is not None and case.incident.config else "CONFIG"
    return {"config": str(case.work_dir / name) if name != "CONFIG" else name}
