"""The learning rate equals mmcv's at every iteration."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpose.errors import SdposeError
from sdpose.training.schedule import LrSchedule, build_schedule


def schedule(policy: str = "step", **settings: Any) -> LrSchedule:
    return build_schedule(policy, **{"base_lr": 1e-3, "total_epochs": 10, **settings})


def test_the_genuine_run_is_reproduced_to_the_last_bit(parity: Path) -> None:
    rows = np.load(parity / "runner_sample" / "lr_schedule.npz")["epoch_iter_lr"]
    ours = schedule(
        "step", total_epochs=6, step=[4, 5], warmup="linear", warmup_iters=500, warmup_ratio=0.001
    )
    assert len(rows) == 780
    for epoch, iteration, lr in rows:
        assert ours.lr(int(epoch), int(iteration), 130) == lr


def test_the_published_recipe_steps_at_200_and_260() -> None:
    ours = schedule(total_epochs=300, step=[200, 260], warmup="linear", warmup_iters=500, warmup_ratio=0.001)
    values = [ours.lr(epoch, epoch * 1000, 1000) for epoch in (1, 199, 200, 259, 260, 299)]
    assert values == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rel=1e-12)
    assert ours.lr(0, 0, 1000) == pytest.approx(1e-6, rel=1e-12)
    assert ours.lr(0, 500, 1000) == 1e-3


@pytest.mark.parametrize(
    ("settings", "epoch", "iteration", "expected"),
    [
        ({"policy": "fixed"}, 9, 999, 1e-3),
        ({"policy": "step", "step": 3}, 2, 200, 1e-3),
        ({"policy": "step", "step": 3}, 6, 600, 1e-5),
        ({"policy": "step", "step": [250], "by_epoch": False}, 2, 249, 1e-3),
        ({"policy": "step", "step": [250], "by_epoch": False}, 2, 250, 1e-4),
        ({"policy": "step", "step": [1, 2], "gamma": 0.1, "min_lr": 5e-4}, 5, 500, 5e-4),
        ({"policy": "CosineAnnealing", "min_lr": 0.0}, 0, 0, 1e-3),
        ({"policy": "CosineAnnealing", "min_lr": 0.0}, 5, 500, 5e-4),
        ({"policy": "cosineannealing", "min_lr_ratio": 0.1, "by_epoch": False}, 5, 500, 5.5e-4),
        ({"policy": "poly", "power": 2.0, "min_lr": 1e-4}, 5, 500, 1e-4 + 9e-4 * 0.25),
        ({"policy": "poly", "by_epoch": False}, 0, 1, 1e-3 * (1 - 1 / 1000)),
    ],
)
def test_policies_follow_mmcv(settings: dict[str, Any], epoch: int, iteration: int, expected: float) -> None:
    assert schedule(**settings).lr(epoch, iteration, 100) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [("linear", 1e-3 * (1 - 0.75 * 0.9)), ("exp", 1e-3 * 0.1**0.75), ("constant", 1e-4), (None, 1e-3)],
)
def test_a_quarter_through_each_warmup(warmup: str | None, expected: float) -> None:
    by_iterations = schedule("fixed", warmup=warmup, warmup_iters=40, warmup_ratio=0.1)
    by_epochs = schedule("fixed", warmup=warmup, warmup_iters=2, warmup_ratio=0.1, warmup_by_epoch=True)
    assert by_iterations.lr(0, 10, 100) == pytest.approx(expected, rel=1e-12)
    assert by_iterations.lr(0, 40, 100) == 1e-3
    assert by_epochs.lr(0, 50, 100) == pytest.approx(expected, rel=1e-12)
    assert by_epochs.lr(2, 200, 100) == 1e-3


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"policy": "stp", "step": [1]}, "Did you mean 'step'?"),
        ({"policy": "step"}, "step=[200, 260]"),
        ({"policy": "step", "step": [260, 200]}, "rising order"),
        ({"policy": "step", "step": [0]}, "positive whole numbers"),
        ({"policy": "CosineAnnealing"}, "exactly one of min_lr and min_lr_ratio"),
        ({"policy": "fixed", "base_lr": 0.0}, "learning rate is a positive number"),
        ({"policy": "fixed", "base_lr": math.nan}, "learning rate is a positive number"),
        ({"policy": "fixed", "warmup": "lienar", "warmup_iters": 5}, "Did you mean 'linear'?"),
        ({"policy": "fixed", "warmup": "linear", "warmup_iters": 0}, "warmup_iters is 0"),
        (
            {"policy": "fixed", "warmup": "linear", "warmup_iters": 5, "warmup_ratio": 2.0},
            "warmup_ratio is 2",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SdposeError) as caught:
        schedule(**settings)
    assert told in str(caught.value)
