"""Was the step too long? The loss along the very direction in which the optimizer went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdpose.explain.bench import Bench, State
from sdpose.explain.computation import Batch
from sdpose.explain.explanation import Outcome
from sdpose.explain.notebook import shown
from sdpose.training.optim import clip_gradients

# A step after which the loss of its own batch has doubled was no descent.
WORSE = 2.0
# A learning rate is called too high from this many times the stable one on.
CLEARLY_TOO_HIGH = 3.0
# Halvings of the range of exponents: ten decades end within 0.01 of one.
NUM_HALVINGS = 10
SMALLEST_LR = 1e-8


@dataclass(frozen=True)
class LineSearch:
    """What one step would have done at other learning rates."""

    lr: float
    """The run's."""
    stable_lr: float | None
    """The largest at which no loss doubled; None when none from 1e-8 up is."""
    loss_before: float
    loss_after: float
    """At the run's learning rate."""
    is_cliff: bool = False
    """Just above the stable rate the loss is no number at all, without having grown before: something there is not
    defined for such weights, which a shorter step only delays."""

    @property
    def times_too_high(self) -> float:
        """How far the run's rate lies above the stable one; infinite without a stable one."""
        return self.lr / self.stable_lr if self.stable_lr else math.inf

    @property
    def is_too_high(self) -> bool:
        """Whether the step was clearly too long."""
        return bool(self.stable_lr) and not self.is_cliff and self.times_too_high >= CLEARLY_TOO_HIGH

    def outcome(self) -> tuple[Outcome, str]:
        """As an experiment: what came out, and the phrase that says it."""
        if self.stable_lr is None:
            return "unclear", "answer.no_stable_lr"
        if self.is_too_high:
            return "fault", "answer.lr_too_high"
        if self.is_cliff and self.times_too_high >= 1:
            return "unclear", "answer.lr_cliff"
        return "healthy", "answer.lr_stable"

    def numbers(self) -> dict[str, str]:
        """For the phrase."""
        return {
            "lr": shown(self.lr),
            "stable": shown(self.stable_lr),
            "times": shown(self.times_too_high),
            "before": shown(self.loss_before),
            "after": shown(self.loss_after),
        }

    def better_base(self, base_lr: float) -> float:
        """A base learning rate, of one digit, whose steps here would have half the stable length."""
        assert self.stable_lr is not None
        return one_digit_below(base_lr * self.stable_lr / 2 / self.lr)


def one_digit_below(value: float) -> float:
    """0.0167 -> 0.01, 0.00034 -> 0.0003."""
    power = math.floor(math.log10(value))
    return float(f"{math.floor(value / 10.0**power + 1e-9)}e{power}")


def line_search(bench: Bench, state: State, batch: Batch, references: Sequence[Batch]) -> LineSearch | None:
    """Try step lengths from `state` with `batch`; its loss and that of another batch must not double.

    None where there is no direction to search: a gradient or a loss that is not finite, or no gradient.
    """
    probes = [batch, *references[:1]]
    with bench.at(state):
        lr = bench.next_lr()
        before = [bench.losses(probe).values["loss"] for probe in probes]
        direction = _direction(bench, batch)
        if direction is None or not all(math.isfinite(loss) and loss > 0 for loss in before):
            return None
        weights = [parameter.detach().clone() for parameter in _parameters(bench)]

        def worst(length: float) -> float:
            _move(bench, weights, direction, length)
            after = [bench.losses(probe).values["loss"] for probe in probes]
            ratios = [a / b for a, b in zip(after, before, strict=True)]
            return max(math.inf if math.isnan(ratio) else ratio for ratio in ratios)

        low, high = math.log(SMALLEST_LR), math.log(max(lr * 10, SMALLEST_LR * 10))
        after = worst(lr) * before[0]
        above = worst(math.exp(high))
        if above <= WORSE:
            return LineSearch(lr, math.exp(high), before[0], after)
        if worst(SMALLEST_LR) > WORSE:
            return LineSearch(lr, None, before[0], after)
        for _ in range(NUM_HALVINGS):
            middle = (low + high) / 2
            ratio = worst(math.exp(middle))
            if ratio <= WORSE:
                low = middle
            else:
                high, above = middle, ratio
        return LineSearch(lr, math.exp(low), before[0], after, is_cliff=math.isinf(above))


def _parameters(bench: Bench) -> list[torch.nn.Parameter]:
    return [parameter for group in bench.optimizer.param_groups for parameter in group["params"]]


def _direction(bench: Bench, batch: Batch) -> list[Tensor] | None:
    """What the optimizer would add to each parameter at a learning rate of 1, float64; None if not finite.

    Computed apart from the weights: added to them in float32 a short step would be lost in rounding.
    """
    bench.optimizer.zero_grad(set_to_none=True)
    bench.computation.backward(batch)
    clip, max_norm = bench.settings.optimizer_config.grad_clip, bench.max_norm()
    if max_norm is not None:
        norm_type = clip.norm_type if clip else 2.0
        clip_gradients(bench.optimizer, max_norm=max_norm, norm_type=norm_type)
    parameters = _parameters(bench)
    copies = [torch.nn.Parameter(parameter.detach().double()) for parameter in parameters]
    for parameter, copied in zip(parameters, copies, strict=True):
        copied.grad = None if parameter.grad is None else parameter.grad.double()
    if all(copied.grad is None for copied in copies):
        return None
    group = {**bench.optimizer.param_groups[0], "params": copies, "lr": 1.0}
    group.update({"fused": None, "foreach": False, "capturable": False} if "fused" in group else {})
    optimizer = type(bench.optimizer)([group])  # type: ignore[call-arg]
    for parameter, copied in zip(parameters, copies, strict=True):
        if moments := bench.optimizer.state.get(parameter):
            optimizer.state[copied] = {
                name: value.double() if isinstance(value, Tensor) and value.dim() > 0 else value
                for name, value in _cloned(moments).items()
            }
    before = [copied.detach().clone() for copied in copies]
    optimizer.step()
    change = [copied.detach() - old for copied, old in zip(copies, before, strict=True)]
    return change if all(bool(one.isfinite().all()) for one in change) else None


@torch.no_grad()
def _move(bench: Bench, weights: Sequence[Tensor], direction: Sequence[Tensor], length: float) -> None:
    for parameter, weight, change in zip(_parameters(bench), weights, direction, strict=True):
        parameter.copy_(weight.double() + length * change)


def _cloned(moments: dict[str, object]) -> dict[str, object]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in moments.items()
    }
