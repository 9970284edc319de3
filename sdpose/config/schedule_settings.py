"""Optimizer, gradient clipping and learning-rate schedule, in the words of the classic config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from sdpose.config.places import without
from sdpose.config.section import Section, problem
from sdpose.config.values import (
    AsTuple,
    FinitePair,
    NotNegative,
    NotNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
)

_NO_PARAMWISE: Mapping[str, str] = {
    "paramwise_cfg": "all parameters have one learning rate and weight decay; remove paramwise_cfg",
    "constructor": "there is one way to build an optimizer; remove constructor",
}


class AdamSettings(Section):
    """Adam, or AdamW (weight decay apart from the gradient). `lr` is for the batch of all GPUs together."""

    type: Literal["Adam", "AdamW"] = "Adam"
    lr: PositiveFloat = 1e-3
    betas: FinitePair = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NotNegativeFloat | None = None  # None: torch's own, 0 for Adam and 0.01 for AdamW
    amsgrad: bool = False
    refused: ClassVar[Mapping[str, str]] = _NO_PARAMWISE

    @model_validator(mode="after")
    def _check_betas(self) -> AdamSettings:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise problem(
                f"got {list(self.betas)}, expected two numbers of at least 0 and less than 1.", key="betas"
            )
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What torch's class takes, without type and lr."""
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return {"betas": self.betas, "eps": self.eps, "amsgrad": self.amsgrad, **decay}


class SgdSettings(Section):
    """Stochastic gradient descent."""

    type: Literal["SGD"]
    lr: PositiveFloat
    momentum: NotNegativeFloat = 0.0
    dampening: NotNegativeFloat = 0.0
    weight_decay: NotNegativeFloat = 0.0
    nesterov: bool = False
    refused: ClassVar[Mapping[str, str]] = _NO_PARAMWISE

    @model_validator(mode="after")
    def _check_nesterov(self) -> SgdSettings:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise problem("Nesterov's method needs momentum > 0 and dampening 0.", key="nesterov")
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """What torch's class takes, without type and lr."""
        return {
            "momentum": self.momentum,
            "dampening": self.dampening,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
        }


OptimizerSettings = Annotated[AdamSettings | SgdSettings, Field(discriminator="type")]


class GradClip(Section):
    """Scale the gradient down when its norm exceeds `max_norm`."""

    max_norm: PositiveFloat
    norm_type: PositiveFloat = 2.0
    error_if_nonfinite: Literal[False] = False


class OptimizerConfig(Section):
    """Clipping, and how many iterations share one optimizer step."""

    type: Literal["OptimizerHook", "GradientCumulativeOptimizerHook"] = "OptimizerHook"
    grad_clip: GradClip | None = None
    cumulative_iters: Positive = 1
    refused: ClassVar[Mapping[str, str]] = {
        "loss_scale": "there is no fp16 training; write runtime=dict(precision='bf16')",
        "detect_anomalous_params": "write find_unused_parameters instead",
    }

    @model_validator(mode="after")
    def _check_accumulation(self) -> OptimizerConfig:
        if self.cumulative_iters > 1 and self.type != "GradientCumulativeOptimizerHook":
            raise problem("needs type='GradientCumulativeOptimizerHook'.", key="cumulative_iters")
        return self


class _Policy(Section):
    """What every learning-rate policy has in common. `warmup_iters` counts epochs when `warmup_by_epoch`."""

    by_epoch: bool = True
    warmup: Literal["constant", "linear", "exp"] | None = None
    warmup_iters: NotNegative = 0
    warmup_ratio: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_by_epoch: bool = False

    @model_validator(mode="after")
    def _check_warmup(self) -> _Policy:
        if self.warmup and self.warmup_iters == 0:
            raise problem("warmup needs warmup_iters > 0.", key="warmup_iters")
        return self


class StepPolicy(_Policy):
    """Multiply by `gamma` after each of the epochs `step` (a single number: every so many epochs)."""

    policy: Literal["step"] = "step"
    step: Annotated[Positive | tuple[Positive, ...], AsTuple] = (200, 260)
    gamma: PositiveFloat = 0.1
    min_lr: NotNegativeFloat | None = None

    @model_validator(mode="after")
    def _check_step(self) -> StepPolicy:
        if isinstance(self.step, tuple) and list(self.step) != sorted(set(self.step)):
            raise problem(f"got {list(self.step)}, expected growing epochs.", key="step")
        return self


class CosinePolicy(_Policy):
    """Half a cosine down to `min_lr` (absolute) or `min_lr_ratio` (of the base), one of which is given."""

    policy: Literal["CosineAnnealing"]
    min_lr: NotNegativeFloat | None = None
    min_lr_ratio: Probability | None = None

    @model_validator(mode="after")
    def _check_minimum(self) -> CosinePolicy:
        if (self.min_lr is None) == (self.min_lr_ratio is None):
            raise problem("CosineAnnealing needs either min_lr or min_lr_ratio.", key="policy")
        return self


class PolyPolicy(_Policy):
    """Down to `min_lr` with `(1 - progress) ** power`."""

    policy: Literal["poly"]
    power: PositiveFloat = 1.0
    min_lr: NotNegativeFloat = 0.0


class FixedPolicy(_Policy):
    """The same rate all the time, after warm-up."""

    policy: Literal["fixed"]


_POLICIES: Mapping[str, str] = {
    "step": "step",
    "Step": "step",
    "CosineAnnealing": "CosineAnnealing",
    "cosineannealing": "CosineAnnealing",
    "poly": "poly",
    "Poly": "poly",
    "fixed": "fixed",
    "Fixed": "fixed",
}


# The tags of the union differ from the policies, since 'step' is the name of a setting, too.
POLICY_TAG = "policy "


def _policy_tag(value: Any) -> str | None:
    name = value.get("policy") if isinstance(value, dict) else getattr(value, "policy", None)
    return None if name is None else f"{POLICY_TAG}{name}"


def _canonical_policy(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    known = _POLICIES.get(str(value.get("policy")))
    if known and known != value["policy"]:
        value = without(value)
        value["policy"] = known
    return value


LrConfig = Annotated[
    Annotated[StepPolicy, Tag("policy step")]
    | Annotated[CosinePolicy, Tag("policy CosineAnnealing")]
    | Annotated[PolyPolicy, Tag("policy poly")]
    | Annotated[FixedPolicy, Tag("policy fixed")],
    Discriminator(_policy_tag),
    BeforeValidator(_canonical_policy),
]
PUBLISHED_SCHEDULE = StepPolicy(warmup="linear", warmup_iters=500, warmup_ratio=0.001)
