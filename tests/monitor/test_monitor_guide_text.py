"""The guide's texts to the byte, and small numbers that stay readable."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sdpose.monitor import guide_text

SPIKE = "⚠️  WARNING: Loss spike detected!\n   Current: 5.2341\n   Recent avg: 2.1234\n   Ratio: 2.47x"
DROP = "⚠️  WARNING: Performance drop detected!\n   Current AP: 0.650\n   Best AP: 0.720\n   Drop: 0.070"
ITERATION_50 = (
    "Iter [50] loss: 2.345678, heatmap_loss: 2.100000, vis_dist_loss: 0.000123, kpt_dist_loss: 0.000234"
)
ITERATION_100 = (
    "Iter [100] loss: 2.123456, heatmap_loss: 1.950000, vis_dist_loss: 0.000087, kpt_dist_loss: 0.000165"
)


def spike_text() -> str:
    # The guide rounds 2.465027 up, so its other two numbers must be these before rounding.
    current, average = 5.23414, 2.12336
    return guide_text.loss_spike(current=current, recent_average=average, ratio=current / average)


def drop_text() -> str:
    return guide_text.performance_drop(metric="AP", current=0.65, best=0.72, drop=0.72 - 0.65)


def iteration_text(iteration: int, loss: float, heatmap: float, visual: float, keypoint: float) -> str:
    terms = {"heatmap_loss": heatmap, "vis_dist_loss": visual, "kpt_dist_loss": keypoint, "loss": loss}
    return guide_text.iteration_line(iteration, terms)


def test_texts_are_the_guides_to_the_byte() -> None:
    assert spike_text() == SPIKE
    assert drop_text() == DROP
    assert iteration_text(50, 2.345678, 2.1, 0.000123, 0.000234) == ITERATION_50
    assert iteration_text(100, 2.123456, 1.95, 0.000087, 0.000165) == ITERATION_100


@pytest.mark.parametrize("text", [SPIKE, DROP, ITERATION_50, ITERATION_100])
def test_the_guide_really_says_so(text: str, shared: Path) -> None:
    assert text in (shared / "spec" / "monitoring-guide.ko.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "loss", "term"),
    [
        (0.0, "0.0000", "0.000000"),
        (5.2341, "5.2341", "5.234100"),
        (0.1, "0.1000", "0.100000"),
        (0.0999999, "0.1000", "0.100000"),
        (0.0083123, "0.008312", "0.008312"),
        (0.001, "0.001000", "0.001000"),
        (1e-5, "1.000e-05", "0.000010"),
        (9.87654e-6, "9.877e-06", "9.877e-06"),
        (6.123e-7, "6.123e-07", "6.123e-07"),
        (-0.5, "-0.5000", "-0.500000"),
        (-6.1e-7, "-6.100e-07", "-6.100e-07"),
        (123456.0, "123456.0000", "123456.000000"),
        (3e12, "3.000e+12", "3.000e+12"),
        (math.nan, "NaN", "NaN"),
        (math.inf, "Inf", "Inf"),
        (-math.inf, "-Inf", "-Inf"),
    ],
)
def test_digits(value: float, loss: str, term: str) -> None:
    assert guide_text.loss_digits(value) == loss
    assert guide_text.term_digits(value) == term


def test_a_huge_ratio_stays_on_its_line() -> None:
    text = guide_text.loss_spike(current=1e300, recent_average=1e-10, ratio=1.7e308)
    assert text.splitlines()[1:] == [
        "   Current: 1.000e+300",
        "   Recent avg: 1.000e-10",
        "   Ratio: 1.700e+308x",
    ]
