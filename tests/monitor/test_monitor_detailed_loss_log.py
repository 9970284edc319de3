"""Every loss term is logged with enough digits, whatever the portions of records."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from monitor_records import losses, train

from sdpose.monitor import DetailedLossLogHook, Hook, Record


def lines_of(hook: Hook, records: Sequence[Record], chunk: int) -> list[str]:
    lines: list[str] = []
    hook.log = lines.append
    for start in range(0, len(records), chunk):
        hook.on_iterations(records[start : start + chunk])
    return lines


@pytest.mark.parametrize("chunk", [1, 3, 50, 1000])
def test_every_interval_logs_the_mean_of_each_term(chunk: int) -> None:
    records = [
        train(i, 2.0 * i, heatmap_loss=float(i), kpt_dist_loss=6.123e-7, acc_pose=0.5, lr=1e-3)
        for i in range(1, 8)
    ]
    assert lines_of(DetailedLossLogHook(log_interval=3), records, chunk) == [
        "Iter [3] loss: 4.000000, heatmap_loss: 2.000000, kpt_dist_loss: 6.123e-07",
        "Iter [6] loss: 10.000000, heatmap_loss: 5.000000, kpt_dist_loss: 6.123e-07",
    ]


def test_a_term_that_comes_and_goes_is_the_mean_of_where_it_was() -> None:
    records = [train(1, 1.0, extra_loss=4.0), train(2, 1.0), train(3, 1.0, extra_loss=8.0), train(4, 1.0)]
    assert lines_of(DetailedLossLogHook(log_interval=2), records, 4) == [
        "Iter [2] loss: 1.000000, extra_loss: 4.000000",
        "Iter [4] loss: 1.000000, extra_loss: 8.000000",
    ]


def test_a_nan_term_shows_and_does_not_stay() -> None:
    assert lines_of(DetailedLossLogHook(log_interval=2), losses([1.0, math.nan, 1.0, 1.0]), 4) == [
        "Iter [2] loss: NaN",
        "Iter [4] loss: 1.000000",
    ]


def test_the_default_interval_is_the_guides() -> None:
    lines = lines_of(DetailedLossLogHook(), losses([1.0] * 120), 50)
    assert [line.split("]")[0] for line in lines] == ["Iter [50", "Iter [100"]


def test_log_interval_is_checked() -> None:
    with pytest.raises(ValueError, match="DetailedLossLogHook: log_interval='50'; expected a whole number"):
        DetailedLossLogHook(log_interval="50")  # type: ignore[arg-type]
