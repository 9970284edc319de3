"""Curves as pictures and as letters."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sdpose.report.blocks import Chart, Line, Mark
from sdpose.report.markdown_page import sparkline
from sdpose.report.svg_chart import HEIGHT, MAX_POINTS, WIDTH, in_words, svg_chart, thinned

NAN = float("nan")


def line(values: list[float], steps: list[float] | None = None) -> Line:
    places = np.arange(1.0, len(values) + 1) if steps is None else np.array(steps)
    return Line("loss", places, np.array(values, np.float64))


def places(svg: str) -> list[tuple[float, float]]:
    """All points of the curves."""
    (path,) = re.findall(r'class="curve c0" d="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


@pytest.mark.parametrize(
    "values", [[], [NAN], [0.0], [5.0], [5.0, 5.0], [0.0, 0.0, 0.0], [-1.0, 1e30], [-1e308, 1e308], [1e-30]]
)
@pytest.mark.parametrize("logarithmic", [False, True])
def test_odd_curves_stay_inside_the_picture(values: list[float], logarithmic: bool) -> None:
    svg = svg_chart(Chart("odd", [line(values)], logarithmic=logarithmic), 1)
    assert bool(svg) == bool(values)
    numbers = [float(number) for number in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy)="([^"]*)"', svg)]
    assert all(0 <= number <= WIDTH for number in numbers)
    if svg:
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(svg))


def test_higher_values_are_drawn_higher_and_later_ones_further_right() -> None:
    points = places(svg_chart(Chart("rises", [line([1.0, 10.0, 100.0])], logarithmic=True), 1))
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)


def test_what_is_not_finite_leaves_a_gap_and_a_cross() -> None:
    svg = svg_chart(Chart("broken", [line([1.0, 2.0, NAN, 2.0, float("inf")])]), 1)
    assert len(places(svg)) == 3
    (path,) = re.findall(r'class="curve c0" d="([^"]*)"', svg)
    assert path.count("M") == 2
    (crosses,) = re.findall(r'class="broken" d="([^"]*)"', svg)
    assert crosses.count("M") == 2


def test_a_run_that_was_put_back_draws_a_new_line() -> None:
    svg = svg_chart(Chart("put back", [line([1.0, 2.0, 1.5, 1.2], [10, 20, 10, 20])]), 1)
    (path,) = re.findall(r'class="curve c0" d="([^"]*)"', svg)
    assert path.count("M") == 2


def test_thinning_keeps_every_spike_and_every_break() -> None:
    values = np.ones(100_000)
    values[[777, 50_001]] = (100.0, NAN)
    steps, kept = thinned(np.arange(100_000.0), values)
    assert len(kept) <= MAX_POINTS + 2
    assert (np.diff(steps) > 0).all()
    assert 100.0 in kept
    assert np.isnan(kept).sum() == 1
    assert (steps[0], steps[-1]) == (0, 99_999)


def test_a_chart_is_told_in_words_and_its_marks_are_named() -> None:
    chart = Chart(
        "losses", [line([3.0, 1.0, 2.0])], [Mark(2, "<spike> @ 2", "warning"), Mark(9, "later", "info")]
    )
    assert in_words(chart) == "loss from 3 to 2, lowest 1, highest 3; alarms at iterations 2, 9"
    assert in_words(chart, "ko").startswith("loss: 처음 3, 마지막 2")
    svg = svg_chart(chart, 7)
    assert "&lt;spike&gt; @ 2" in svg
    assert f'x1="{places(svg)[-1][0]:.1f}"' in svg.split("later")[1]
    assert 'aria-labelledby="chart7-title chart7-text"' in svg


@pytest.mark.parametrize(
    ("values", "letters"),
    [([], ""), ([1.0], "▁"), ([1.0, 2.0], "▁█"), ([1.0, NAN, 3.0], "▁×█"), ([2.0] * 100, "▁" * 24)],
)
def test_sparklines(values: list[float], letters: str) -> None:
    assert sparkline(np.array(values)) == letters


def test_the_last_place_on_the_axis_is_not_cut_and_a_score_has_no_scale_below_zero() -> None:
    svg = svg_chart(Chart("ends", [line([0.0, 0.0], [10, 1500])]), 1)
    ends = re.findall(r'<text class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="end">1,500</text>', svg)
    assert [float(x) for x in ends] == [WIDTH - 1]
    assert "-0." not in svg


def test_all_charts_of_a_run_can_lie_over_the_same_iterations() -> None:
    chart = Chart("late", [line([1.0, 2.0], [50, 60])], [Mark(2, "first", "critical")], first=2, last=100)
    svg = svg_chart(chart, 1)
    mark = float(svg.split("first")[1].split('x1="')[1].split('"')[0])
    (x0, _), (x1, _) = places(svg)
    assert mark < x0 < x1 < WIDTH - 100


def test_numbers_beside_an_axis_are_short() -> None:
    svg = svg_chart(Chart("lr", [line([4.9e28, 5.1e28])]), 1)
    assert "5e28" in svg
    assert "e+" not in svg.split("</desc>")[1]
