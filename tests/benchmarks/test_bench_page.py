"""The page on performance shows the committed numbers, and its pictures what they mean."""

from __future__ import annotations

import re
from typing import Literal

import pytest

from benchmarks.charts import aims_chart, beyond, growth_chart
from benchmarks.curve import Curve
from benchmarks.page import BLOCKS, IMAGES, PAGE, pictures, updated
from benchmarks.ratio import Ratio


def test_the_page_has_every_block_and_agrees_with_the_committed_numbers() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- measured: (\w+) -->", text) == list(BLOCKS)
    assert updated(text) == text, "run: python -m benchmarks.page"


def test_the_pictures_agree_with_the_committed_numbers() -> None:
    for name, picture in pictures().items():
        assert (IMAGES / name).read_text(encoding="utf-8") == picture, "run: python -m benchmarks.page"


def test_a_block_that_nobody_measures_is_no_block() -> None:
    with pytest.raises(KeyError, match="weather"):
        updated("<!-- measured: weather -->\n<!-- end -->")


@pytest.mark.parametrize(
    ("value", "aim", "better", "times"),
    [(6.0, 3.0, "higher", 2.0), (1.0, 2.0, "higher", 0.5), (0.5, 2.0, "lower", 4.0)],
)
def test_a_bar_is_as_long_as_the_ratio_is_beyond_its_aim(
    value: float, aim: float, better: Literal["higher", "lower"], times: float
) -> None:
    assert beyond(Ratio(name="a", value=value, low=value, high=value, aim=aim, better=better)) == times


def test_charts_show_what_they_are_given() -> None:
    with_aim = Ratio(name="a & b", value=2, low=2, high=2, aim=1)
    without = Ratio(name="no aim", value=2, low=2, high=2)
    drawn = aims_chart([with_aim, without])
    assert "a &amp; b" in drawn
    assert "no aim" not in drawn
    assert drawn.count("<path") == 2  # the aim and one bar
    curve = Curve(name="cost against the batch", x_name="image", unit="ms", x=(1, 2, 4), y=(2, 4, 8))
    assert growth_chart([curve, curve]).count("<circle") == 6
    assert aims_chart([]).startswith("<svg")
