"""Fits of known lines and powers, and the ring that gradients travel on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.curve import Curve
from benchmarks.processes import TwoProcesses, ring_s


def curve(x: tuple[float, ...], y: tuple[float, ...]) -> Curve:
    return Curve(name="cost", x_name="image", unit="ms", x=x, y=y)


def test_a_line_is_found_with_its_fixed_part() -> None:
    line = curve((1, 2, 4, 8), (5, 7, 11, 19))
    assert line.law == pytest.approx((3, 2))
    assert line.r_squared == pytest.approx(1)
    assert line.worst_miss == pytest.approx(0, abs=1e-12)


def test_a_square_is_no_line_and_has_power_two() -> None:
    square = curve((1, 2, 4, 8, 16), (1, 4, 16, 64, 256))
    assert square.power == pytest.approx(2)
    assert square.worst_miss > 0.5


def test_a_constant_cost_has_power_nought() -> None:
    flat = curve((1, 10, 100), (3, 3, 3))
    assert flat.power == pytest.approx(0)
    assert flat.r_squared == 1
    assert flat.law == pytest.approx((3, 0))


def test_small_sizes_count_like_large_ones() -> None:
    """One outlier of 20 % at the largest size moves the fixed part less than it would by absolute errors."""
    bent = curve((1, 2, 4, 1000), (2, 3, 5, 1201))
    assert bent.worst_miss < 0.2


def test_a_square_is_found_where_it_is_looked_for() -> None:
    x = (1, 2, 4, 8, 16)
    square = replace(curve(x, tuple(3 + 2 * n + 0.5 * n**2 for n in x)), degree=2)
    assert square.law == pytest.approx((3, 2, 0.5))
    assert square.worst_miss == pytest.approx(0, abs=1e-9)
    assert square.at([0, 10]) == pytest.approx([3, 73])


def test_the_share_that_is_explained_weighs_all_sizes_alike() -> None:
    """Points that scatter by 10 % around a line are a line, wherever the largest one lies."""
    y = [x * (1.1 if i % 2 else 0.9) for i, x in enumerate((1, 10, 100, 1000, 10000))]
    assert curve((1, 10, 100, 1000, 10000), tuple(y)).r_squared > 0.9


def test_what_a_curve_says() -> None:
    said = curve((1, 2), (3, 5))
    assert said.in_words() == "1 + 2 a image, ms, R2 1.0000, at most 0 % off; power 0.74"
    noisy = replace(said, noise=(0.01, 0.031))
    assert noisy.in_words().endswith("; power 0.74; repeats 3 % apart")


@pytest.mark.parametrize(
    ("processes", "bytes_a_s", "latency_s", "expected"),
    [(1, 1e9, 1.0, 0.0), (2, 1e6, 0.0, 1.0), (4, 1e6, 0.0, 1.5), (8, 1e9, 1.0, 14.00175)],
)
def test_a_ring_sends_all_but_one_share_twice(
    processes: int, bytes_a_s: float, latency_s: float, expected: float
) -> None:
    assert ring_s(1_000_000, processes, bytes_a_s, latency_s) == pytest.approx(expected)


def test_two_processes_are_compared_with_one_alone() -> None:
    two = TwoProcesses(
        samples=4, alone_s=0.9, together_s=1.0, silent_s=0.95, exchange_s=0.1, gradient_bytes=10**8
    )
    assert two.efficiency == pytest.approx(0.9)
    assert two.communication == pytest.approx(0.05)
    assert two.bytes_a_s == pytest.approx(1e9)
