"""Intervals hold what they promise: for plain means here, for AP in benchmarks/ap_noise.py."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from sdpose.evaluation.bootstrap import Interval, draws, interval, moved


def interval_of_mean(values: np.ndarray) -> Interval:
    drawn = np.array([counts @ values / len(values) for counts in draws(len(values))])
    return interval(float(values.mean()), drawn, len(values))


def test_draws_are_always_the_same_and_have_as_many_images() -> None:
    first, again = list(draws(7, 50)), list(draws(7, 50))
    np.testing.assert_array_equal(first, again)
    assert {int(counts.sum()) for counts in first} == {7}
    assert len({tuple(counts) for counts in first}) > 40


def test_the_stream_of_draws_stays_as_it_is() -> None:
    # Stored evaluations are compared draw by draw with new ones.
    assert next(draws(8, 1)).tolist() == [1, 0, 1, 0, 1, 1, 1, 3]


@pytest.mark.parametrize("num_images", [12, 60])
def test_intervals_of_means_hold_the_truth_in_95_of_100_cases(num_images: int) -> None:
    random = np.random.RandomState(num_images)
    held = []
    for _ in range(300):
        found = interval_of_mean(random.standard_normal(num_images))
        held.append(found.low <= 0 <= found.high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(("num_images", "t"), [(6, 2.571), (10, 2.262), (30, 2.045), (5000, 1.960)])
def test_few_images_widen_an_interval_as_students_t_does(num_images: int, t: float) -> None:
    quantiles = (np.arange(200_000) + 0.5) / 200_000
    drawn = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    found = interval(0.0, drawn, num_images)
    # Resampling divides by n, not by n - 1.
    expected = t * np.sqrt(num_images / (num_images - 1))
    assert (-found.low, found.high) == pytest.approx((expected, expected), rel=0.012)


def test_four_times_the_images_halve_the_interval() -> None:
    random = np.random.RandomState(0)
    few, many = (interval_of_mean(random.standard_normal(num)) for num in (400, 1600))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize(
    ("value", "drawn", "num_images", "expected"),
    [
        (0.5, [], 10, (0.5, 0.5)),
        (1.0, [1.0, 1.0], 1, (1.0, 1.0)),
        (0.0, [0.0, 0.0, 0.0], 500, (0.0, 0.0)),
        (0.9, [0.1, 0.2], 2, (0.1, 0.9)),
    ],
)
def test_an_interval_always_holds_its_value(
    value: float, drawn: list[float], num_images: int, expected: tuple[float, float]
) -> None:
    found = interval(value, np.array(drawn), num_images)
    assert (found.value, found.low, found.high) == (value, *expected)


@pytest.mark.parametrize(
    ("low", "high", "beyond"), [(0.01, 0.2, True), (-0.2, -0.01, True), (-0.1, 0.1, False), (0.0, 0.0, False)]
)
def test_beyond_noise_is_an_interval_without_zero(low: float, high: float, beyond: bool) -> None:
    assert Interval((low + high) / 2, low, high).beyond_noise is beyond


def drawn_changes(changes: np.ndarray) -> np.ndarray:
    """Means of many numbers, (I, M), in each draw."""
    return np.array([counts @ changes / len(changes) for counts in draws(len(changes))])


def test_numbers_that_stand_still_rarely_move() -> None:
    random = np.random.RandomState(3)
    named = []
    for _ in range(200):
        changes = random.standard_normal((80, 24))
        named.append(moved(changes.mean(0), drawn_changes(changes), len(changes)).any())
    assert 0.01 <= np.mean(named) <= 0.11


def test_what_moved_is_named_and_nothing_else() -> None:
    changes = np.random.RandomState(4).standard_normal((100, 5))
    changes[:, 2] += 1.0
    changes[:, 3] = 0.0
    found = moved(changes.mean(0), drawn_changes(changes), len(changes))
    assert found.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(("num_images", "certain"), [(1, False), (4, False), (10, True)])
def test_a_change_that_is_the_same_in_every_image_is_certain(num_images: int, certain: bool) -> None:
    changes = np.tile([0.3, 0.0], (num_images, 1))
    assert moved(changes.mean(0), drawn_changes(changes), num_images).tolist() == [certain, False]
