"""The learning rate as a pure function of where a run stands.

The policies and the warm-up are those of mmcv 1.x, term for term, so that a run resumed from an official
checkpoint goes on with the same numbers. "epoch" and "iteration" are 0-based: those about to be run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sdpose.errors import SdposeError, nearest

POLICIES = ("step", "CosineAnnealing", "poly", "fixed")
WARMUPS = ("linear", "exp", "constant")


@dataclass(frozen=True)
class LrSchedule:
    """One policy with an optional warm-up. Made by `build_schedule`, which checks it."""

    base_lr: float
    total_epochs: int
    policy: str = "step"
    """One of `POLICIES`."""
    by_epoch: bool = True
    """The policy moves once an epoch (True) or every iteration (False)."""
    step: int | tuple[int, ...] = (200, 260)
    """step: milestones, or one number meaning "every so many". Epochs, or iterations if not `by_epoch`."""
    gamma: float = 0.1
    """step: factor at each milestone."""
    power: float = 1.0
    """poly: exponent of the remaining fraction."""
    min_lr: float | None = None
    """Floor (step), or the value reached at the end (CosineAnnealing, poly)."""
    min_lr_ratio: float | None = None
    """CosineAnnealing: the value reached at the end as a fraction of `base_lr`."""
    warmup: str | None = None
    """One of `WARMUPS`, or None."""
    warmup_iters: int = 0
    """Length of the warm-up in iterations, or in epochs if `warmup_by_epoch`."""
    warmup_ratio: float = 0.1
    """Fraction of the regular value at iteration 0."""
    warmup_by_epoch: bool = False

    def lr(self, epoch: int, iteration: int, epoch_length: int) -> float:
        """Learning rate of the iteration about to run.

        `iteration` counts from the very start of the run, `epoch_length` is iterations per epoch.
        """
        regular = self._regular(epoch, iteration, epoch_length)
        warmup_length = self.warmup_iters * epoch_length if self.warmup_by_epoch else self.warmup_iters
        if self.warmup is None or iteration >= warmup_length:
            return regular
        return self._warming(regular, iteration / warmup_length)

    def _regular(self, epoch: int, iteration: int, epoch_length: int) -> float:
        progress = epoch if self.by_epoch else iteration
        end = self.total_epochs if self.by_epoch else self.total_epochs * epoch_length
        if self.policy == "step":
            lr = self.base_lr * self.gamma ** self._milestones_passed(progress)
            return lr if self.min_lr is None else max(lr, self.min_lr)
        if self.policy == "CosineAnnealing":
            target = self.min_lr if self.min_lr is not None else self.base_lr * (self.min_lr_ratio or 0.0)
            return target + 0.5 * (self.base_lr - target) * (math.cos(math.pi * (progress / end)) + 1)
        if self.policy == "poly":
            floor = self.min_lr or 0.0
            return (self.base_lr - floor) * (1 - progress / end) ** self.power + floor
        return self.base_lr

    def _milestones_passed(self, progress: int) -> int:
        if isinstance(self.step, int):
            return progress // self.step
        return sum(milestone <= progress for milestone in self.step)

    def _warming(self, regular: float, fraction: float) -> float:
        """`fraction` of the warm-up done, 0 up to but without 1."""
        if self.warmup == "constant":
            return regular * self.warmup_ratio
        if self.warmup == "linear":
            return regular * (1 - (1 - fraction) * (1 - self.warmup_ratio))
        return regular * self.warmup_ratio ** (1 - fraction)


def build_schedule(
    policy: str = "step",
    *,
    base_lr: float,
    total_epochs: int,
    by_epoch: bool = True,
    step: int | Sequence[int] | None = None,
    gamma: float = 0.1,
    power: float = 1.0,
    min_lr: float | None = None,
    min_lr_ratio: float | None = None,
    warmup: str | None = None,
    warmup_iters: int = 0,
    warmup_ratio: float = 0.1,
    warmup_by_epoch: bool = False,
) -> LrSchedule:
    """A checked schedule from the plain values of a config's `lr_config`.

    Policy names are compared without regard to case. Raises SdposeError for values that mean nothing.
    """
    chosen = {name.lower(): name for name in POLICIES}.get(policy.lower())
    if chosen is None:
        raise SdposeError(
            f"lr_config.policy is '{policy}', known are {', '.join(POLICIES)}.{nearest(policy, POLICIES)}"
        )
    if base_lr <= 0 or not math.isfinite(base_lr):
        raise SdposeError(
            f"optimizer.lr is {base_lr:g}; a learning rate is a positive number, for example 1e-3"
        )
    if chosen == "CosineAnnealing" and (min_lr is None) == (min_lr_ratio is None):
        raise SdposeError(
            "lr_config of CosineAnnealing takes exactly one of min_lr and min_lr_ratio, for example min_lr=0"
        )
    _check_warmup(warmup, warmup_iters, warmup_ratio)
    return LrSchedule(
        base_lr=base_lr,
        total_epochs=total_epochs,
        policy=chosen,
        by_epoch=by_epoch,
        step=_checked_milestones(step) if chosen == "step" else (),
        gamma=gamma,
        power=power,
        min_lr=min_lr,
        min_lr_ratio=min_lr_ratio,
        warmup=warmup,
        warmup_iters=warmup_iters,
        warmup_ratio=warmup_ratio,
        warmup_by_epoch=warmup_by_epoch,
    )


def _checked_milestones(step: int | Sequence[int] | None) -> int | tuple[int, ...]:
    if step is None:
        raise SdposeError("lr_config of policy 'step' needs step, for example step=[200, 260]")
    milestones = (step,) if isinstance(step, int) else tuple(step)
    if any(milestone <= 0 for milestone in milestones):
        raise SdposeError(f"lr_config.step is {step}; milestones are positive whole numbers")
    if list(milestones) != sorted(milestones):
        raise SdposeError(f"lr_config.step is {list(milestones)}; write the milestones in rising order")
    return step if isinstance(step, int) else milestones


def _check_warmup(warmup: str | None, warmup_iters: int, warmup_ratio: float) -> None:
    if warmup is None:
        return
    if warmup not in WARMUPS:
        raise SdposeError(
            f"lr_config.warmup is '{warmup}', known are {', '.join(WARMUPS)} and None."
            f"{nearest(warmup, WARMUPS)}"
        )
    if warmup_iters <= 0:
        raise SdposeError(
            f"lr_config.warmup_iters is {warmup_iters}; with warmup='{warmup}' it must be above 0"
        )
    if not 0 < warmup_ratio <= 1:
        raise SdposeError(
            f"lr_config.warmup_ratio is {warmup_ratio:g}; it is a fraction above 0 and at most 1"
        )
