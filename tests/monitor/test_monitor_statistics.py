"""Running moments equal numpy's over the whole series, merge, and print as the guide's file."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest

from sdpose.monitor.guide_text import training_stats
from sdpose.monitor.run_statistics import RunStatistics


def statistics_of(losses: list[float], aps: list[float] | None = None) -> RunStatistics:
    statistics = RunStatistics()
    for loss in losses:
        statistics.add_loss(loss)
    for ap in aps or []:
        statistics.add_ap(ap)
    return statistics


@pytest.mark.parametrize("num_losses", [1, 2, 3, 1000])
@pytest.mark.parametrize("offset", [0.0, 1e-3, 1e6])
def test_moments_equal_numpy(num_losses: int, offset: float) -> None:
    losses = [offset + random.Random(i).lognormvariate(-5, 1) for i in range(num_losses)]
    statistics = statistics_of(losses)
    assert statistics.num_losses == num_losses
    assert statistics.mean == pytest.approx(np.mean(losses), rel=1e-12)
    assert statistics.std == pytest.approx(np.std(losses), rel=1e-6, abs=1e-12)
    assert (statistics.minimum, statistics.maximum) == (min(losses), max(losses))
    assert statistics.final_loss == losses[-1]


@pytest.mark.parametrize("cut", [0, 1, 50, 99, 100])
def test_two_halves_merge_to_the_whole(cut: int) -> None:
    rng = random.Random(cut)
    losses = [rng.lognormvariate(0, 2) for _ in range(100)]
    aps = [rng.random() for _ in range(10)]
    whole = statistics_of(losses, aps)
    merged = statistics_of(losses[:cut], aps[: cut // 10])
    merged.merge(statistics_of(losses[cut:], aps[cut // 10 :]))
    assert merged.num_losses == whole.num_losses
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12)
    assert merged.std == pytest.approx(whole.std, rel=1e-12)
    assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
    assert (merged.final_loss, merged.best_ap) == (whole.final_loss, whole.best_ap)


@pytest.mark.parametrize("cut", [0, 1, 37, 100])
def test_saved_and_loaded_goes_on_to_the_last_bit(cut: int) -> None:
    rng = random.Random(5)
    losses = [rng.lognormvariate(-5, 1) for _ in range(100)]
    first = statistics_of(losses[:cut], [0.1, 0.3])
    resumed = RunStatistics.from_state_dict(json.loads(json.dumps(first.state_dict())))
    for loss in losses[cut:]:
        resumed.add_loss(loss)
    resumed.add_ap(0.2)
    assert resumed == statistics_of(losses, [0.1, 0.3, 0.2])


def test_losses_that_are_not_finite_show_only_as_the_final_one() -> None:
    statistics = statistics_of([1.0, math.inf, 3.0, math.nan])
    assert (statistics.num_losses, statistics.mean, statistics.std) == (2, 2.0, 1.0)
    assert (statistics.minimum, statistics.maximum) == (1.0, 3.0)
    assert statistics.final_loss is not None
    assert math.isnan(statistics.final_loss)


def test_best_ap_is_the_highest_finite_one() -> None:
    assert statistics_of([], []).best_ap is None
    assert statistics_of([], [math.nan, 0.0]).best_ap == 0.0
    assert statistics_of([], [0.2, 0.7234, math.nan, math.inf, 0.5]).best_ap == 0.7234


GUIDE_EXAMPLE = """\
Training Statistics
================================================================================

Loss Statistics:
  - Mean: 0.8543
  - Std: 0.2341
  - Min: 0.3821
  - Max: 3.2145
  - Final: 0.3912

Best AP: 0.7234
"""


def test_the_file_is_the_guides_to_the_byte() -> None:
    statistics = RunStatistics(
        num_losses=4,
        mean=0.8543,
        sum_squared_deviations=4 * 0.2341**2,
        minimum=0.3821,
        maximum=3.2145,
        final_loss=0.3912,
        best_ap=0.7234,
    )
    assert training_stats(statistics) == GUIDE_EXAMPLE


def test_small_losses_stay_readable() -> None:
    assert training_stats(statistics_of([0.004, 0.006], [0.5])).splitlines()[4:9] == [
        "  - Mean: 0.005000",
        "  - Std: 0.001000",
        "  - Min: 0.004000",
        "  - Max: 0.006000",
        "  - Final: 0.006000",
    ]


def test_a_run_without_iterations_or_evaluations_says_so() -> None:
    lines = training_stats(RunStatistics()).splitlines()
    assert lines[4:] == [
        "  - Mean: n/a",
        "  - Std: n/a",
        "  - Min: n/a",
        "  - Max: n/a",
        "  - Final: n/a",
        "",
        "Best AP: n/a",
    ]
