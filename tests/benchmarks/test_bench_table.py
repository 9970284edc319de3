"""Whether a ratio got worse, and the table that it is compared with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

from benchmarks.ratio import Ratio
from benchmarks.table import (
    Row,
    Table,
    better_of,
    compare,
    merged,
    read_table,
    verdict,
    write_table,
)


def ratio(
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    name: str = "speed",
    better: Literal["higher", "lower"] = "higher",
) -> Ratio:
    low, high = value if low is None else low, value if high is None else high
    return Ratio(name=name, value=value, low=low, high=high, better=better)


@pytest.mark.parametrize(
    ("now", "committed", "said"),
    [
        (ratio(2.0), ratio(2.0), "within the spread"),
        (ratio(1.0, 0.9, 1.1), ratio(2.0, 1.8, 2.2), "worse"),
        (ratio(4.0, 3.9, 4.1), ratio(2.0, 1.8, 2.2), "better"),
        # The middle halves touch: what is far off in the median may be chance.
        (ratio(1.0, 0.9, 1.8), ratio(2.0, 1.8, 2.2), "within the spread"),
        # They do not touch, but 4 % are what two runs of the same code may differ by.
        (ratio(1.92, 1.919, 1.921), ratio(2.0, 1.99, 2.01), "within the spread"),
        (ratio(1.88, 1.87, 1.89), ratio(2.0, 1.99, 2.01), "worse"),
    ],
)
def test_a_ratio_is_worse_only_beyond_the_spread_of_both_sides(
    now: Ratio, committed: Ratio, said: str
) -> None:
    assert verdict(now, committed) == said


def test_where_lower_is_better_more_is_worse() -> None:
    assert verdict(ratio(2.0, better="lower"), ratio(1.0, better="lower")) == "worse"
    assert verdict(ratio(1.0, better="lower"), ratio(2.0, better="lower")) == "better"


def test_each_ratio_of_either_side_gets_a_line() -> None:
    now = [Row("data", ratio(1.0, name="slower")), Row("data", ratio(1.0, name="added"))]
    committed = [
        Row("data", ratio(2.0, name="slower")),
        Row("data", ratio(1.0, name="removed")),
        Row("export", ratio(1.0, name="elsewhere")),
    ]
    lines = compare(now, committed, measured=["data"])
    assert [(line.name, line.verdict) for line in lines] == [
        ("slower", "worse"),
        ("added", "new"),
        ("removed", "gone"),
        ("elsewhere", "not measured"),
    ]
    assert [line.change for line in lines] == [-0.5, None, None, None]


def test_nothing_measured_and_nothing_committed_gives_no_line() -> None:
    assert compare([], [], measured=[]) == []


def test_one_name_for_two_ratios_is_refused() -> None:
    with pytest.raises(ValueError, match="1 ratios have a name that another has too: speed"):
        compare([Row("data", ratio(1.0)), Row("model", ratio(2.0))], [], measured=["data", "model"])


def test_several_runs_become_one_with_the_widest_spread() -> None:
    runs = [ratio(1.0, 0.9, 1.1), ratio(3.0, 2.9, 3.3), ratio(2.0, 1.5, 2.5)]
    assert merged(runs) == ratio(2.0, 0.9, 3.3)


def test_of_two_runs_the_better_counts() -> None:
    assert better_of(ratio(1.0), ratio(2.0)) == ratio(2.0)
    assert better_of(ratio(1.0, better="lower"), ratio(2.0, better="lower")) == ratio(1.0, better="lower")


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    assert read_table(path) is None
    rows = (
        Row("data", dataclasses.replace(ratio(0.5, 0.25, 0.75, better="lower"), aim=0.6, detail="2.1 ms")),
        Row("model", ratio(3.0, name="training")),
    )
    table = Table(cpu="a", cores=2, torch="2.10", date="2026-11-28", commit="1a2b3c4", rows=rows)
    write_table(table, path)
    assert read_table(path) == table
    assert sum("script" in line for line in path.read_text().splitlines()) == len(rows)
