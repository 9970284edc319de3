"""Curves -> the faults in them: by shape, whatever their scale."""

from __future__ import annotations

import numpy as np
import pytest

from sdpose.monitor.patterns.collapse import find_collapse, find_passing_collapse, is_zero
from sdpose.monitor.patterns.divergence import find_divergence
from sdpose.monitor.patterns.no_learning import find_no_learning
from sdpose.monitor.patterns.overfitting import find_overfitting
from sdpose.monitor.patterns.spike import find_spikes
from sdpose.monitor.robust import Floats, trend

SCALES = [1e-3, 1.0, 1e3]


def falling(size: int, *, noise: float = 0.02, seed: int = 0, start: float = 1.0, end: float = 0.2) -> Floats:
    """A loss as a healthy run has it: an exponential with multiplicative noise."""
    rng = np.random.default_rng(seed)
    curve = end + (start - end) * np.exp(-5.0 * np.linspace(0, 1, size))
    return np.asarray(curve * np.exp(rng.normal(size=size) * noise))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [0, 1, 5, 11, 40, 400, 5000])
def test_a_healthy_curve_has_no_fault(size: int, scale: float) -> None:
    curve = scale * falling(size)
    assert find_spikes(curve) == []
    assert find_divergence(curve) is None
    assert find_no_learning(curve) is None


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("at", [11, 100, 150])
def test_a_jump_is_found_where_it_is(at: int, scale: float) -> None:
    curve = scale * falling(200)
    curve[at] *= 4
    (spike,) = find_spikes(curve)
    assert spike.index == at
    assert spike.ratio == pytest.approx(curve[at] / curve[at - 10 : at].mean())


def test_a_jump_of_several_values_is_one() -> None:
    curve = falling(200)
    curve[100:106] *= 5
    assert [spike.index for spike in find_spikes(curve)] == [100]


def test_a_jump_within_the_usual_noise_is_none() -> None:
    rng = np.random.default_rng(1)
    curve = np.exp(rng.normal(size=300) * 0.5)
    twofold = [i for i in range(10, 300) if curve[i] > 2 * curve[i - 10 : i].mean()]
    assert len(twofold) > 5
    assert find_spikes(curve) == []


@pytest.mark.parametrize(("factor", "at"), [(2.5, []), (3.5, [7])])
def test_with_less_than_a_window_before_it_a_jump_must_be_threefold(factor: float, at: list[int]) -> None:
    curve = falling(200)
    curve[7] *= factor
    assert [spike.index for spike in find_spikes(curve)] == at


def test_a_new_level_is_no_jump() -> None:
    # A detector's loss in its warm-up: from 0.05 to 1.5, where it then falls from.
    curve = np.concatenate([np.full(20, 0.05), 1.5 * falling(200)])
    assert find_spikes(curve) == []


def test_curves_below_zero_have_jumps_too() -> None:
    curve = falling(200) - 1.5
    curve[120] = 2.0
    assert [spike.index for spike in find_spikes(curve)] == [120]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("factor", [2.5, 10.0, 1e6])
def test_a_loss_that_stays_up_has_diverged(factor: float, scale: float) -> None:
    curve = scale * falling(200)
    curve[140:] *= factor
    found = find_divergence(curve)
    assert found is not None
    assert found.index == 140
    assert found.ratio == pytest.approx(factor, rel=0.15)


def test_a_slow_rise_is_a_divergence_as_well() -> None:
    curve = falling(300)
    curve[150:] *= np.linspace(1, 6, 150)
    found = find_divergence(curve)
    assert found is not None
    assert 150 < found.index < 260


@pytest.mark.parametrize("size", [30, 300])
def test_what_came_back_has_not_diverged(size: int) -> None:
    curve = falling(size)
    curve[size // 3 : size // 2] *= 8
    assert find_divergence(curve) is None


@pytest.mark.parametrize(("up", "diverged"), [(0.87, True), (0.7, False)])
def test_a_loss_below_zero_is_measured_against_its_way_down(up: float, diverged: bool) -> None:
    curve = 3 * falling(200, start=1.0, end=0.0) - 2
    curve[140:] = curve.min() + up * (curve.max() - curve.min())
    assert (find_divergence(curve) is not None) is diverged


def test_the_end_of_a_noisy_curve_is_no_divergence() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert find_divergence(np.exp(rng.normal(size=60) * 0.9)) is None


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("noise", [0.0, 0.001, 0.1])
def test_a_flat_loss_has_learnt_nothing(noise: float, scale: float) -> None:
    rng = np.random.default_rng(2)
    assert find_no_learning(scale * np.exp(rng.normal(size=60) * noise)) is not None


def test_a_steady_fall_by_a_thousandth_is_nothing_learnt() -> None:
    assert find_no_learning(np.linspace(85.94, 85.85, 365)) is not None


@pytest.mark.parametrize(("size", "stuck"), [(12, False), (40, True)])
def test_few_values_that_fall_a_little_may_be_learning_still(size: int, stuck: bool) -> None:
    assert (find_no_learning(np.linspace(1.0, 0.995, size)) is not None) is stuck


def test_a_loss_that_fell_at_once_is_done_not_stuck() -> None:
    rng = np.random.default_rng(3)
    curve = np.concatenate([[2.0, 0.6], 0.4 * np.exp(rng.normal(size=60) * 0.05)])
    assert find_no_learning(curve) is None


def test_a_slow_but_sure_fall_is_learning() -> None:
    rng = np.random.default_rng(4)
    assert find_no_learning(np.linspace(1.3, 1.2, 300) + rng.normal(size=300) * 0.02) is None


def test_a_loss_that_goes_up_and_down_is_not_stuck() -> None:
    assert find_no_learning(1 + 0.25 * np.cos(np.linspace(0, 4 * np.pi, 80))) is None


def test_collapse() -> None:
    rng = np.random.default_rng(5)
    scores = 0.7 * (1 - np.exp(-np.linspace(0, 5, 30))) + rng.normal(size=30) * 0.01
    assert find_collapse(scores) is None
    dipped = scores.copy()
    dipped[[12, 20]] = 0.0
    assert find_collapse(dipped) is None
    scores[22:] = 0.02
    found = find_collapse(scores)
    assert found is not None
    assert (found.index, found.num_low) == (22, 8)


def test_a_collapse_that_was_over_in_the_end() -> None:
    scores = 0.7 * (1 - np.exp(-np.linspace(0, 5, 30)))
    assert find_passing_collapse(scores) is None
    scores[15:18] = 0.01
    assert find_collapse(scores) is None
    found = find_passing_collapse(scores)
    assert found is not None
    assert (found.index, found.num_low) == (15, 3)


def test_dips_apart_from_each_other_are_no_collapse() -> None:
    scores = 0.7 * (1 - np.exp(-np.linspace(0, 5, 30)))
    scores[[12, 17, 18, 22]] = 0.01
    assert find_passing_collapse(scores) is None


def test_a_drop_that_an_accuracy_makes_all_the_time_is_no_collapse() -> None:
    assert find_collapse(np.array([0.9, 0.5] * 6 + [0.5, 0.5])) is None


def test_an_accuracy_that_drops_to_chance_has_collapsed() -> None:
    scores = np.array([0.6, 0.8, 0.88, 0.9, 0.91, 0.9, 0.92, 0.5, 0.5, 0.51, 0.49])
    found = find_collapse(scores)
    assert found is not None
    assert found.index == 7


@pytest.mark.parametrize(
    ("scores", "zero"),
    [([0.0] * 5, True), ([0.0] * 4, False), ([0.0] * 5 + [0.01], False), ([0.0] * 4 + [9e-5], True)],
)
def test_zero(scores: list[float], zero: bool) -> None:
    assert is_zero(np.array(scores), at_least=5) is zero


@pytest.mark.parametrize("scale", SCALES)
def test_a_validation_loss_that_rises_while_training_goes_on(scale: float) -> None:
    train = scale * falling(40, end=0.01)
    val = scale * np.concatenate([falling(15), np.linspace(0.3, 0.8, 25)])
    found = find_overfitting(train, val)
    assert found is not None
    assert 10 <= found.index <= 16
    assert find_overfitting(train, 1.1 * falling(40, seed=9) * scale) is None


def test_a_validation_loss_that_never_falls() -> None:
    rng = np.random.default_rng(6)
    train, val = falling(50, end=0.3), 1.0 + 0.01 * rng.normal(size=50)
    assert find_overfitting(train, val) is not None
    assert find_overfitting(np.ones(50), val) is None


@pytest.mark.parametrize(("size", "found"), [(8, False), (12, True)])
def test_of_few_evaluations_none_is_said_never_to_fall(size: int, found: bool) -> None:
    assert (find_overfitting(falling(size, end=0.1), np.ones(size)) is not None) is found


def test_three_bad_evaluations_are_no_trend() -> None:
    val = np.concatenate([falling(20, noise=0.0), [0.4] * 3])
    assert find_overfitting(falling(23, end=0.01), val) is None


def test_a_rise_within_the_noise_of_evaluations_is_no_overfitting() -> None:
    train = np.concatenate([np.full(30, 1.0), np.full(10, 0.9)])
    for seed in range(40):
        val = 1 + np.linspace(0, 0.1, 40) + 0.3 * np.random.default_rng(seed).uniform(-1, 1, size=40)
        assert find_overfitting(train, val) is None


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ([], 0.0),
        ([1, 2, 3], 0.0),
        ([2, 2, 2, 2, 2], 0.0),
        ([1, 2, 3, 4, 5], 9 / (50 / 3) ** 0.5),
        ([5, 4, 3, 2, 1], -9 / (50 / 3) ** 0.5),
        # 11 pairs rise; ties of three and of two leave a variance of (6 * 5 * 17 - 3 * 2 * 11 - 2 * 1 * 9) / 18.
        ([1, 1, 1, 2, 2, 3], 10 / (426 / 18) ** 0.5),
    ],
)
def test_a_trend_is_mann_and_kendalls(values: list[float], errors: float) -> None:
    assert trend(values) == pytest.approx(errors)
