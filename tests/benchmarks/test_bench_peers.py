"""The rules of others, on series made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from benchmarks.scores.peers import (
    Curve,
    Curves,
    all_together,
    early_stopping,
    guide_hook,
    lightning,
    llm_foundry,
    nan_in_any_loss,
)

NAN, INF = math.nan, math.inf


def curve(values: Sequence[float]) -> Curve:
    return tuple((float(place), value) for place, value in enumerate(values, start=1))


def curves(loss: Sequence[float] = (), metric: Sequence[float] = (), **others: bool | int) -> Curves:
    return Curves(loss=curve(loss), all_losses=(curve(loss),), metric=curve(metric), **others)  # type: ignore[arg-type]


def places(alarms: Sequence[object]) -> list[float]:
    return [alarm.place for alarm in alarms]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([], []),
        ([1.0] * 5, []),
        ([1.0] * 5 + [2.0], [6]),
        ([1.0] * 5 + [1.99], []),
        ([9.0] + [1.0] * 4 + [4.0], []),  # the mean of five is 2.6
        ([1.0] * 5 + [NAN, 9.0], []),  # NaN stays in its mean for five checks, which is left to grep
        ([0.0] * 5 + [1.0], []),
    ],
)
def test_guide_hook_compares_with_the_mean_of_the_last_five(loss: list[float], expected: list[float]) -> None:
    assert places(guide_hook(curves(loss))) == expected


def test_guide_hook_looks_at_every_fiftieth_iteration_only() -> None:
    loss = [1.0] * 400
    loss[299] = loss[310] = 5.0
    assert places(guide_hook(curves(loss, iterations_per_value=1))) == [300]


def test_guide_hook_warns_of_a_drop_against_the_best() -> None:
    alarms = guide_hook(curves(metric=[0.70, 0.66, 0.72, 0.66, 0.60]))
    assert [(alarm.place, alarm.verdict) for alarm in alarms] == [
        (4, "metric_collapse"),
        (5, "metric_collapse"),
    ]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([], []),
        ([5.0], []),
        ([1.0, 3.0], [2]),  # two means above the mean
        ([1.0, 2.9], []),
        ([1.0] * 12 + [3.0, 3.5, 1.0], [13, 14]),  # a spike does not become the mean
        ([NAN, 1.0], []),  # warm-up of one
        ([1.0, NAN, INF], [2, 3]),
        ([4.0, 1.0, 1.0, 5.9], []),  # the mean is 2
    ],
)
def test_lightning_wants_twice_the_mean_on_top_of_the_mean(loss: list[float], expected: list[float]) -> None:
    assert places(lightning(curves(loss))) == expected


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([1.0] * 99 + [9.0] * 5, []),  # the window is not full yet when it begins
        ([1.0] * 100 + [9.0] * 4 + [1.0], []),
        ([1.0] * 100 + [9.0] * 5, [105]),
        ([1.0] * 100 + [9.0] * 6 + [1.0] * 20, [105]),  # one stretch, one alarm
        ([11.0] * 300, []),
    ],
)
def test_llm_foundry_wants_five_outliers_in_a_row(loss: list[float], expected: list[float]) -> None:
    assert places(llm_foundry(curves(loss))) == expected


@pytest.mark.parametrize(
    ("metric", "higher", "expected"),
    [
        ([], True, []),
        ([0.5, 0.5, 0.5], True, []),
        ([0.5, 0.5, 0.5, 0.5], True, [4]),
        ([0.1, 0.2, 0.1, 0.1, 0.3, 0.2, 0.2, 0.2, 0.9], True, [8]),
        ([1.0, 1.1, 1.2, 0.9, 1.0, 1.0, 1.0], False, [7]),
        ([0.1, NAN, 0.2], True, [2]),
    ],
)
def test_early_stopping_waits_three_evaluations(
    metric: list[float], higher: bool, expected: list[float]
) -> None:
    assert places(early_stopping(curves(metric=metric, higher_is_better=higher))) == expected


def test_nan_rule_names_the_first_place_in_any_term() -> None:
    told = Curves(loss=curve([1.0, 1.0]), all_losses=(curve([1, 1, INF]), curve([1, NAN])), metric=())
    assert places(nan_in_any_loss(told)) == [2]
    assert nan_in_any_loss(curves([1.0, 2.0])) == []


def test_all_together_is_their_union_in_order() -> None:
    told = curves([1.0] * 6 + [3.0, NAN], metric=[0.7, 0.6, 0.6, 0.6])
    kinds = [(alarm.kind, alarm.place) for alarm in all_together(told)]
    assert sorted(place for _, place in kinds) == [place for _, place in kinds]
    assert {kind for kind, _ in kinds} == {
        "guide spike",
        "guide drop",
        "lightning spike",
        "lightning not finite",
        "early stopping",
        "nan",
    }
