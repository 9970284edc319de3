"""Series of values -> where each detector of a live run alarms, and where it rightly keeps still."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from monitor_live_runs import FACTS
from monitor_records import aps, train, val

from sdpose.monitor import Record, RunFacts
from sdpose.monitor.detector import Detector
from sdpose.monitor.detectors import (
    AlwaysClipped,
    BehindSchedule,
    DataStarvation,
    DeadHeatmaps,
    DeadTokens,
    DiskLow,
    GradientExplosion,
    GradientVanishing,
    LossTermMissing,
    LossTermSwallowing,
    LossTermZero,
    LrUnexpected,
    MemoryGrowth,
    RanksDisagree,
    SaturatedHeatmaps,
    ThroughputDrop,
    live_detectors,
)
from sdpose.monitor.finding import Finding


def series(columns: Mapping[str, Sequence[float]], *, start: int = 1) -> list[Record]:
    """One train record for each row, numbered from `start`; a loss of 1 where none is given."""
    rows = zip(*columns.values(), strict=True)
    return [
        train(iteration, **{"loss": 1.0, **dict(zip(columns, row, strict=True))})
        for iteration, row in enumerate(rows, start=start)
    ]


def each(values: Sequence[float], num: int) -> list[float]:
    """Every value so many times."""
    return [value for value in values for _ in range(num)]


def findings(detector: Detector, records: Sequence[Record]) -> list[Finding]:
    return [finding for record in records for finding in detector.update(record)]


def alarms(detector: Detector, records: Sequence[Record]) -> list[tuple[int, str]]:
    return [(finding.iteration, finding.severity) for finding in findings(detector, records)]


# Gradients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norms", "alarm_at"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([1.0] * 210 + [50.0] * 9, [], id="one iteration too few"),
        pytest.param([1.0] * 210 + [50.0] * 30, [230], id="two checks of ten"),
        pytest.param([1.0] * 40 + [50.0] * 60, [], id="too little to compare with"),
        pytest.param([1.0] * 80 + [50.0] * 30, [100], id="just enough"),
        pytest.param([1.0] * 210 + [50.0] * 10 + [1.0] * 50, [], id="one check, then over"),
        pytest.param([1.0] * 210 + [5.0] * 50, [], id="fivefold is no explosion"),
        pytest.param(each([1, 20], 1) * 200, [], id="always so wild"),
        pytest.param([0.0] * 210 + [50.0] * 30, [], id="from zero: no ratio"),
        pytest.param([1.0] * 210 + ([1.0] * 9 + [1000.0]) * 5, [], id="single wild batches"),
        pytest.param([1.0] * 210 + [50.0] * 20 + [1.0] * 300 + [50.0] * 20, [230, 550], id="twice"),
        pytest.param([2.0 ** (i / 100) for i in range(1000)], [], id="grows slowly, a thousandfold"),
    ],
)
def test_gradient_explosion(norms: list[float], alarm_at: list[int]) -> None:
    records = series({"grad_norm": norms})
    assert alarms(GradientExplosion(), records) == [(iteration, "warning") for iteration in alarm_at]


def test_growing_gradients_of_a_falling_loss_are_a_plateau_left() -> None:
    norms, losses = [1.0] * 210 + [50.0] * 60, [1.0] * 210 + [0.7] * 60
    assert alarms(GradientExplosion(), series({"grad_norm": norms, "loss": losses})) == []


@pytest.mark.parametrize("factor", [0.1, 2.0])
def test_a_step_of_the_learning_rate_starts_the_comparison_of_gradients_anew(factor: float) -> None:
    columns = {"grad_norm": [1.0] * 210 + [50.0] * 100, "lr": [1e-3] * 210 + [1e-3 * factor] * 100}
    assert alarms(GradientExplosion(), series(columns)) == []


def test_gradient_explosion_carries_its_numbers() -> None:
    (finding,) = findings(GradientExplosion(), series({"grad_norm": [0.5] * 210 + [50.0] * 30}))
    assert (finding.kind, finding.metric, finding.value) == ("gradient_explosion", "grad_norm", 50.0)
    assert finding.evidence == {
        "current": 50.0,
        "level": 0.5,
        "ratio": 100.0,
        "gradient_explosion_threshold": 10.0,
        "first_iteration": 211,
    }


@pytest.mark.parametrize(
    ("norms", "losses", "alarm_at"),
    [
        pytest.param([1.0] * 500 + [1e-4] * 100, 1.0, [600], id="a thousandth, two checks"),
        pytest.param([1.0] * 500 + [1e-2] * 300, 1.0, [], id="a hundredth is usual"),
        pytest.param([1.0] * 200 + [1e-4] * 500, 1.0, [], id="no level yet, and then it is the level"),
        pytest.param([0.0] * 99, 1.0, [], id="zero, too short"),
        pytest.param([0.0] * 200, 1.0, [100], id="zero needs no level"),
        pytest.param([1.0] * 500 + [1e-4] * 100 + [1.0] * 100 + [1e-4] * 100, 1.0, [600, 800], id="twice"),
    ],
)
def test_gradient_vanishing(norms: list[float], losses: float, alarm_at: list[int]) -> None:
    records = series({"grad_norm": norms, "loss": [losses] * len(norms)})
    assert alarms(GradientVanishing(), records) == [(iteration, "warning") for iteration in alarm_at]


def test_gradients_that_vanish_with_the_loss_fit() -> None:
    norms, losses = [1.0] * 500 + [1e-4] * 200, [1.0] * 500 + [0.01] * 200
    assert alarms(GradientVanishing(), series({"grad_norm": norms, "loss": losses})) == []


def test_large_gradients_of_the_warm_up_are_not_the_level() -> None:
    norms = [100.0] * 500 + [0.05] * 1000
    assert alarms(GradientVanishing(gradient_vanishing_threshold=0.01), series({"grad_norm": norms})) != []
    detector = GradientVanishing(gradient_vanishing_threshold=0.01, warmup_iterations=500)
    assert alarms(detector, series({"grad_norm": norms})) == []


@pytest.mark.parametrize(
    ("norms", "alarm_at"),
    [
        pytest.param([2.0] * 99, [], id="too short"),
        pytest.param([2.0] * 1000, [(100, "info")], id="a note, once"),
        pytest.param(([2.0] * 9 + [0.5]) * 100, [], id="nine of ten"),
        pytest.param([20.0] * 1000, [(100, "info"), (300, "warning")], id="far above, and stays"),
        pytest.param(each([20, 0.5] * 10, 100), [(100, "info")], id="far above, and goes"),
        pytest.param([1.0] * 500, [], id="exactly max_norm is not clipped"),
    ],
)
def test_always_clipped(norms: list[float], alarm_at: list[tuple[int, str]]) -> None:
    detector = AlwaysClipped(max_norm=1.0, check_interval=100, patience=3)
    assert alarms(detector, series({"grad_norm": norms})) == alarm_at


def test_clipping_during_the_warm_up_does_not_count() -> None:
    detector = AlwaysClipped(max_norm=1.0, check_interval=100, warmup_iterations=500)
    assert alarms(detector, series({"grad_norm": [9.0] * 500 + [0.5] * 500})) == []


@pytest.mark.parametrize(
    ("used", "alarm_at"),
    [
        pytest.param([1e-3] * 10, [], id="as expected"),
        pytest.param([1e-3] * 5 + [1e-4] + [1e-3] * 4, [], id="one iteration"),
        pytest.param([1e-3] * 5 + [1e-4] * 5, [7], id="stays"),
        pytest.param([1.005e-3] * 10, [], id="rounding"),
        pytest.param([0.0] * 10, [2], id="none at all"),
    ],
)
def test_lr_unexpected(used: list[float], alarm_at: list[int]) -> None:
    records = series({"lr": used, "lr_expected": [1e-3] * len(used)})
    assert alarms(LrUnexpected(), records) == [(iteration, "warning") for iteration in alarm_at]


# Heatmaps and tokens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "alarm_at"),
    [
        pytest.param([1.0] * 300, [], id="every model begins so"),
        pytest.param([1.0] * 500, [(400, "warning")], id="but not for ever"),
        pytest.param(each([1, 0.4], 50) + [0.99] * 200, [(200, "critical")], id="lived and died"),
        pytest.param([1.0] * 50 + [0.7] * 100 + [0.99] * 100, [], id="had not begun to live yet"),
        pytest.param([0.1] * 100 + [0.94] * 300, [], id="hardly alive"),
        pytest.param([0.1] * 100 + each([1, 0.1], 50), [], id="flickers"),
        pytest.param([0.1] * 900, [], id="healthy"),
    ],
)
def test_dead_heatmaps(shares: list[float], alarm_at: list[tuple[int, str]]) -> None:
    detector = DeadHeatmaps(grace_iterations=300)
    records = series({"heatmap_flat": shares, "acc_pose": [0.4 if share < 0.5 else 0.0 for share in shares]})
    assert alarms(detector, records) == alarm_at


def test_random_outputs_that_go_flat_have_not_died() -> None:
    columns = {"heatmap_flat": [0.0] * 50 + [1.0] * 250, "acc_pose": [0.01] * 50 + [0.05] * 250}
    assert alarms(DeadHeatmaps(), series(columns)) == []
    del columns["acc_pose"]
    assert alarms(DeadHeatmaps(), series(columns)) == []


def test_dead_heatmaps_say_until_when_they_lived() -> None:
    columns = {
        "heatmap_flat": [0.2] * 100 + [1.0] * 100,
        "heatmap_peak": [0.01] * 200,
        "acc_pose": [0.5] * 100 + [0.0] * 100,
    }
    (finding,) = findings(DeadHeatmaps(), series(columns))
    assert finding.evidence == {
        "share": 1.0,
        "alive_until": 100,
        "heatmap_peak": 0.01,
        "first_iteration": 101,
    }


@pytest.mark.parametrize(
    ("peaks", "alarm_at"),
    [
        pytest.param([1.8] * 900, [], id="as an untrained model"),
        pytest.param([40.0] * 100 + [1.0] * 800, [], id="while it begins"),
        pytest.param([1.0] * 300 + [5.0] * 100, [400], id="later"),
        pytest.param([1.0] * 300 + each([5, 1, 1, 1], 20) * 9, [], id="for a moment"),
    ],
)
def test_saturated_heatmaps(peaks: list[float], alarm_at: list[int]) -> None:
    found = alarms(SaturatedHeatmaps(), series({"heatmap_max": peaks}))
    assert found == [(iteration, "warning") for iteration in alarm_at]


@pytest.mark.parametrize(
    ("spreads", "alarm_at"),
    [
        pytest.param([0.01] * 150 + [1e-5] * 100, [250], id="lost"),
        pytest.param([0.01] * 100 + [1e-5] * 500, [], id="two checks are no level"),
        pytest.param([0.0] * 100, [100], id="never there"),
        pytest.param([1e-6] * 900, [], id="small from the start"),
        pytest.param([0.01] * 200 + [5e-4] * 400, [], id="a twentieth"),
        pytest.param([0.01 * 0.99**i for i in range(2000)], [], id="fades by a third each check"),
    ],
)
def test_dead_tokens(spreads: list[float], alarm_at: list[int]) -> None:
    found = alarms(DeadTokens(num_reference=3), series({"kpt_token_std": spreads}))
    assert found == [(iteration, "warning") for iteration in alarm_at]


def test_both_kinds_of_tokens_are_told_apart() -> None:
    columns = {"kpt_token_std": [0.01] * 400, "vis_token_std": [1.0] * 200 + [0.0] * 200}
    assert [finding.metric for finding in findings(DeadTokens(), series(columns))] == ["vis_token_std"]
    columns["kpt_token_std"] = [0.01] * 260 + [0.0] * 140
    assert [finding.metric for finding in findings(DeadTokens(), series(columns))] == ["vis_token_std"]


# Loss terms ----------------------------------------------------------------------------------------------------------


def with_terms(iteration: int, **terms: float) -> Record:
    return train(iteration, sum(terms.values()), **terms)


def test_a_term_that_goes_is_missed_after_a_while_and_once() -> None:
    records = [with_terms(i, heatmap_loss=1.0, vis_dist_loss=0.1) for i in range(1, 51)]
    records += [with_terms(i, heatmap_loss=1.0) for i in range(51, 300)]
    (finding,) = findings(LossTermMissing(), records)
    assert (finding.iteration, finding.metric) == (70, "vis_dist_loss")
    assert finding.evidence == {
        "missing": ["vis_dist_loss"],
        "present": ["heatmap_loss"],
        "first_iteration": 51,
    }


def test_a_term_that_comes_and_goes_is_not_missed() -> None:
    records = [with_terms(i, heatmap_loss=1.0, **({"own_loss": 0.1} if i % 5 else {})) for i in range(1, 300)]
    assert findings(LossTermMissing(), records) == []
    assert findings(LossTermMissing(check_interval=10), [with_terms(1, x_loss=1.0), *records]) == []


def test_a_term_that_returned_may_be_missed_again() -> None:
    both, one = {"heatmap_loss": 1.0, "own_loss": 0.1}, {"heatmap_loss": 1.0}
    records = [with_terms(i, **(both if i <= 30 or 60 < i <= 90 else one)) for i in range(1, 121)]
    assert [finding.iteration for finding in findings(LossTermMissing(), records)] == [50, 110]


def test_an_expected_term_is_missed_from_the_start() -> None:
    records = [with_terms(i, heatmap_loss=1.0) for i in range(1, 100)]
    (finding,) = findings(LossTermMissing(expected=("heatmap_loss", "kpt_dist_loss")), records)
    assert (finding.iteration, finding.metric) == (20, "kpt_dist_loss")


def test_a_resume_may_bring_other_terms() -> None:
    before = LossTermMissing()
    findings(before, [with_terms(i, heatmap_loss=1.0, own_loss=1.0) for i in range(1, 101)])
    later = [with_terms(i, heatmap_loss=1.0) for i in range(101, 300)]
    for start_iteration, num in ((100, 0), (0, 1)):
        after = LossTermMissing(start_iteration=start_iteration)
        after.load_state_dict(before.state_dict())
        assert len(findings(after, later)) == num


@pytest.mark.parametrize(
    ("terms", "alarm"),
    [
        pytest.param({"heatmap_loss": [1.0] * 300, "own_loss": [0.1] * 100 + [0.0] * 200}, "own_loss", id="went"),
        pytest.param({"heatmap_loss": [1.0] * 300, "own_loss": [0.1] * 250 + [0.0] * 50}, None, id="not for long"),
        pytest.param({"heatmap_loss": [1.0] * 300, "own_loss": ([0.0] * 59 + [0.1]) * 5}, None, id="now and then"),
        pytest.param({"heatmap_loss": [1.0] * 300, "own_loss": [1e-30] * 300}, None, id="small is not zero"),
    ],
)  # fmt: skip
def test_loss_term_zero(terms: dict[str, list[float]], alarm: str | None) -> None:
    found = findings(LossTermZero(), series({**terms, "loss": terms["heatmap_loss"]}))
    assert [(finding.metric, finding.severity) for finding in found] == (
        [(alarm, "warning")] if alarm else []
    )


def test_a_term_that_was_never_more_than_zero_is_a_note() -> None:
    found = findings(LossTermZero(), [with_terms(i, a_loss=1.0, b_loss=0.0) for i in range(1, 300)])
    assert [(f.metric, f.severity, f.iteration) for f in found] == [("b_loss", "info", 100)]
    assert found[0].evidence["others"] == {"a_loss": 1.0}


def test_a_total_of_zero_is_said_once_and_not_for_each_term() -> None:
    found = findings(LossTermZero(), [with_terms(i, a_loss=0.0, b_loss=0.0) for i in range(1, 300)])
    assert [(f.metric, f.severity) for f in found] == [("loss", "warning")]


@pytest.mark.parametrize(
    ("token_loss", "alarm_at"),
    [
        pytest.param([1e-4] * 300, [], id="published weight"),
        pytest.param([0.005] * 300, [], id="half of the loss"),
        pytest.param([300.0] * 300, [100], id="weight 1e+2"),
        pytest.param([1e-4] * 150 + [300.0] * 150, [250], id="diverges"),
        pytest.param([1e-4] * 150 + [300.0] * 50 + [1e-4] * 100, [], id="for one check"),
    ],
)
def test_loss_term_swallowing(token_loss: list[float], alarm_at: list[int]) -> None:
    records = [with_terms(i, heatmap_loss=0.005, vis_dist_loss=x) for i, x in enumerate(token_loss, start=1)]
    found = findings(LossTermSwallowing(), records)
    assert [(finding.iteration, finding.metric) for finding in found] == [
        (iteration, "vis_dist_loss") for iteration in alarm_at
    ]


def test_without_the_main_term_nobody_knows_which_should_be_large() -> None:
    records = [with_terms(i, generator_loss=0.001, critic_loss=9.0) for i in range(1, 300)]
    assert findings(LossTermSwallowing(), records) == []
    assert findings(LossTermSwallowing(), [with_terms(i, heatmap_loss=1.0) for i in range(1, 300)]) == []


# The machine ---------------------------------------------------------------------------------------------------------


def ranks(losses: Sequence[Sequence[float]]) -> list[Record]:
    """A log line each ten iterations with the loss of each rank."""
    return [
        replace(train(10 * i, 1.0, rank_spread=0.1), details={"loss_per_rank": list(per_rank)})
        for i, per_rank in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "alarm_at", "rank"),
    [
        pytest.param([[1.0, 1.0]] * 50, None, None, id="equal"),
        pytest.param([[1.0, 3.0]] * 3, None, None, id="too few"),
        pytest.param([[1.0, 2.1]] * 50, 40, 1, id="one twice as high"),
        pytest.param([[2.1, 1.0]] * 50, 40, 0, id="the higher one of two"),
        pytest.param([[1.0, 1.5]] * 50, 80, 1, id="half as high again"),
        pytest.param([[1.0, 1.0]] * 20 + [[1.8, 1.0]] * 30, 280, 0, id="from then on"),
        pytest.param([[1.0, 1.0]] * 20 + [[9.0, 1.0]] * 30, 240, 0, id="far off from then on"),
        pytest.param([[1.0, 1.0, 1.0, 1.5]] * 50, 80, 3, id="one of four"),
        pytest.param([[1.0, 1.1]] * 50, None, None, id="a tenth is nothing"),
        pytest.param([[1.0, 2.0], [2.0, 1.0]] * 25, None, None, id="now one, now the other"),
        pytest.param([[1.0, 1.0]] * 9 + [[1.0, 9.0]] + [[1.0, 1.0]] * 40, None, None, id="once"),
        pytest.param([[0.0, 0.0]] * 50, None, None, id="zero"),
        pytest.param([[1.0]] * 50, None, None, id="a single process"),
    ],
)
def test_ranks_disagree(losses: list[list[float]], alarm_at: int | None, rank: int | None) -> None:
    found = findings(RanksDisagree(), ranks(losses))
    assert [(f.iteration, f.severity, f.evidence["rank"]) for f in found] == (
        [] if alarm_at is None else [(alarm_at, "critical", rank)]
    )


def test_another_number_of_processes_begins_anew() -> None:
    found = findings(RanksDisagree(), ranks([[1.0, 3.0]] * 3 + [[1.0, 3.0, 1.0, 1.0]] * 3))
    assert found == []


def loop(times: Sequence[tuple[float, float]], *, start: int = 1) -> list[Record]:
    """Time and waiting time of each iteration."""
    return series({"time": [t for t, _ in times], "data_time": [d for _, d in times]}, start=start)


@pytest.mark.parametrize(
    ("times", "alarm_at"),
    [
        pytest.param([(0.4, 0.01)] * 500, [], id="hardly waits"),
        pytest.param([(0.4, 0.2)] * 500, [(230, "info")], id="half of the time"),
        pytest.param(([(5.0, 4.8)] * 10 + [(0.4, 0.01)] * 90) * 5, [], id="only while workers start"),
        pytest.param(([(0.1, 0.0)] * 3 + [(0.7, 0.6)]) * 125, [(230, "info")], id="every fourth waits for four"),
        pytest.param([(0.002, 0.001)] * 500, [], id="milliseconds are not worth it"),
        pytest.param([(0.4, 0.01)] * 200 + [(0.4, 0.39)] * 50 + [(0.4, 0.01)] * 250, [], id="a hiccup"),
    ],
)  # fmt: skip
def test_data_starvation(times: list[tuple[float, float]], alarm_at: list[tuple[int, str]]) -> None:
    assert alarms(DataStarvation(), loop(times)) == alarm_at


def test_the_first_waits_of_a_resumed_process_do_not_count() -> None:
    times = [(9.0, 8.9)] * 10 + [(0.4, 0.1)] * 60
    records = loop(times * 2, start=1151)
    assert alarms(DataStarvation(check_interval=25, patience=1), records) != []
    resumed = DataStarvation(check_interval=25, patience=1, start_iteration=1150, num_skipped=10)
    assert alarms(resumed, records[:70]) == []


@pytest.mark.parametrize(
    ("seconds", "alarm_at"),
    [
        pytest.param([0.3] * 1000, [], id="steady"),
        pytest.param([0.3] * 500 + [0.6] * 500, [(730, "info")], id="half as fast"),
        pytest.param([0.3] * 500 + [0.4] * 500, [], id="a little slower"),
        pytest.param([0.3] * 500 + [3.0] * 100 + [0.3] * 400, [], id="a pause"),
        pytest.param(each([0.3, 0.6], 50) * 10, [], id="a restless machine"),
        pytest.param([0.3] * 500 + [30.0] * 500, [(730, "info")], id="a hundred times"),
        pytest.param([3.0] * 200 + [0.3] * 800, [], id="faster is no fault"),
    ],
)
def test_throughput_drop(seconds: list[float], alarm_at: list[tuple[int, str]]) -> None:
    found = alarms(ThroughputDrop(lost_s=1e6), series({"time": seconds}))
    assert found == alarm_at


def test_slowness_becomes_a_warning_when_half_an_hour_is_lost() -> None:
    seconds = [1.0] * 500 + [4.0] * 1500
    found = findings(ThroughputDrop(), series({"time": seconds}))
    assert [finding.severity for finding in found] == ["info", "warning"]
    assert found[1].evidence["lost_s"] >= 1800
    assert found[1].iteration == pytest.approx(500 + 1800 / 3 / 0.9, abs=60)


def test_what_is_slow_for_long_does_not_become_the_measure() -> None:
    seconds = [1.0] * 500 + [4.0] * 4500
    found = findings(ThroughputDrop(lost_s=9000.0), series({"time": seconds}))
    assert [(finding.severity, finding.evidence["level"]) for finding in found] == [
        ("info", 1.0),
        ("warning", 1.0),
    ]


def test_a_resumed_process_has_its_own_speed() -> None:
    before = ThroughputDrop()
    findings(before, series({"time": [0.3] * 500}))
    slower = series({"time": [0.9] * 500}, start=501)
    for start_iteration, num in ((500, 0), (0, 1)):
        after = ThroughputDrop(start_iteration=start_iteration)
        after.load_state_dict(before.state_dict())
        assert len(findings(after, slower)) == num


def memory(values: Sequence[float], *, start: int = 1) -> list[Record]:
    """A log line each fifty iterations with the memory of the process."""
    return [train(50 * i, 1.0, host_memory=value) for i, value in enumerate(values, start=start)]


@pytest.mark.parametrize(
    ("mib", "num"),
    [
        pytest.param([2000.0] * 500, 0, id="constant"),
        pytest.param([2000.0 + 20 * i for i in range(500)], 2, id="leaks, and doubles"),
        pytest.param([2000.0 + 0.5 * i for i in range(500)], 0, id="leaks a little"),
        pytest.param([2000.0] * 100 + [6000.0] * 400, 0, id="a step"),
        pytest.param([2000.0 + 4000 * (1 - math.exp(-i / 60)) for i in range(500)], 0, id="fills up"),
        pytest.param([1000 * math.log(10 + i) for i in range(500)], 0, id="fills up ever more slowly"),
        pytest.param([2000.0 + 3000 * (i % 20) / 20 for i in range(500)], 0, id="saw teeth"),
        pytest.param([9000.0 - 10 * i for i in range(500)], 0, id="shrinks"),
    ],
)
def test_memory_growth(mib: list[float], num: int) -> None:
    assert len(alarms(MemoryGrowth(), memory(mib))) == num


def test_memory_growth_says_where_it_will_end() -> None:
    detector = MemoryGrowth(total_iterations=100_000)
    finding = findings(detector, memory([2000.0 + 40 * i for i in range(60)]))[0]
    assert finding.severity == "warning"
    assert finding.evidence["per_1000_iterations"] == pytest.approx(800, rel=0.02)
    left = 100_000 - finding.iteration
    assert finding.evidence["at_the_end"] == pytest.approx(finding.evidence["current"] + 0.8 * left, rel=0.02)


def test_a_resumed_process_has_its_own_memory() -> None:
    leak = memory([2000.0 + 40 * i for i in range(200)])
    pieces = [
        replace(record, values={"host_memory": 2000.0 + record.values["host_memory"] % 400})
        for record in leak
    ]
    assert alarms(MemoryGrowth(), pieces) == []
    before, after = MemoryGrowth(), MemoryGrowth(start_iteration=1000)
    findings(before, leak[:20])
    after.load_state_dict(before.state_dict())
    assert alarms(after, leak[20:40]) == []


def disk(values: Sequence[float]) -> list[Record]:
    """A log line each ten iterations with the free space in MiB."""
    return [train(10 * i, 1.0, disk_free_mib=value) for i, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("free", "alarm_at"),
    [
        pytest.param([9000.0] * 100, [], id="room"),
        pytest.param([9000.0] * 50 + [250.0] * 50, [510], id="somebody filled it"),
        pytest.param([900.0 - 12 * i for i in range(30)], [100], id="will be full at iteration 500"),
        pytest.param([9000.0 - 4 * i for i in range(100)], [], id="fills, but not by then"),
        pytest.param([9000.0 - 900 * (i // 50) for i in range(400)], [], id="checkpoints are steps"),
        pytest.param([280.0, 300.0, 280.0, 260.0], [10], id="low from the start, said once"),
    ],
)
def test_disk_low(free: list[float], alarm_at: list[int]) -> None:
    found = alarms(DiskLow(checkpoint_mib=290.0, checkpoint_iterations=500), disk(free))
    assert found == [(iteration, "critical") for iteration in alarm_at]


def test_disk_low_without_knowing_a_checkpoints_size_or_place() -> None:
    assert alarms(DiskLow(), disk([250.0, 190.0])) == [(20, "critical")]


# AP ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evaluations", "alarm_at"),
    [
        pytest.param({}, [], id="none"),
        pytest.param({5: 0.0, 9: 0.0}, [], id="the first ten epochs are not judged"),
        pytest.param({10: 0.2, 15: 0.31}, [], id="behind once"),
        pytest.param({10: 0.2, 15: 0.25}, [15], id="behind twice"),
        pytest.param({45: 0.5, 50: 0.499}, [50], id="below a half at epoch 50"),
        pytest.param({45: 0.5, 50: 0.5}, [], id="a half at epoch 50"),
        pytest.param({48: 0.5, 52: 0.49}, [52], id="no evaluation at 50 itself"),
        pytest.param({10: 0.3, 50: 0.55, 150: 0.68, 250: 0.72, 300: 0.73}, [], id="the guide's own course"),
        pytest.param({10: 0.28, 50: 0.51, 150: 0.65, 250: 0.69, 300: 0.697}, [], id="as SDPose-T"),
        pytest.param({10: 0.2, 20: 0.2, 30: 0.2, 40: 0.2, 50: 0.2}, [20], id="said once"),
        pytest.param({10: 0.2, 20: 0.2, 30: 0.5, 40: 0.5, 50: 0.4}, [20, 50], id="caught up, fell back"),
        pytest.param({10: 0.6, 50: 0.7}, [], id="fine-tuned"),
        pytest.param({50: math.nan}, [], id="no number"),
    ],
)
@pytest.mark.parametrize("total_epochs", [300, 600])
def test_behind_schedule(evaluations: dict[int, float], alarm_at: list[int], total_epochs: int) -> None:
    scale = total_epochs // 300
    records = [val(scale * epoch, ap) for epoch, ap in evaluations.items()]
    found = findings(BehindSchedule(total_epochs=total_epochs), records)
    assert [finding.epoch for finding in found] == [scale * epoch for epoch in alarm_at]


def test_behind_schedule_carries_its_numbers() -> None:
    (finding,) = findings(BehindSchedule(total_epochs=150), [val(25, 0.4)])
    assert (finding.kind, finding.severity, finding.value) == ("behind_schedule", "warning", 0.4)
    assert finding.evidence == {
        "current": 0.4,
        "expected": pytest.approx(0.55),
        "least": 0.5,
        "total_epochs": 150,
        "guide_epoch": 50.0,
        "missed_milestone": True,
        "first_epoch": 25,
    }


COCO = replace(FACTS, total_epochs=300, epoch_length=2341, samples_per_gpu=64, num_processes=1)


@pytest.mark.parametrize(
    ("change", "compared"),
    [
        ({}, True),
        ({"total_epochs": 50}, True),
        ({"total_epochs": 49}, False),
        ({"epoch_length": 500}, False),
        ({"epoch_length": 293, "num_processes": 8}, True),
        ({"variant": None}, False),
        ({"samples_per_gpu": None}, False),
        ({"epoch_length": None}, False),
    ],
)
def test_only_long_runs_of_published_models_on_cocos_size_are_compared_with_the_guide(
    change: dict[str, Any], compared: bool
) -> None:
    assert ("behind_schedule" in live_detectors(replace(COCO, **change))) == compared


def test_a_run_of_which_nothing_is_known_gets_what_needs_no_facts() -> None:
    assert COCO.max_norm is not None
    assert live_detectors(COCO).keys() - live_detectors(RunFacts()).keys() == {
        "always_clipped",
        "behind_schedule",
    }
    assert "dead_tokens" not in live_detectors(replace(COCO, samples_per_gpu=1))


def test_evaluations_are_no_iterations() -> None:
    for detector in live_detectors(FACTS).values():
        assert findings(detector, aps([0.5] * 3)) == []


# Parameters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        (GradientExplosion, {"check_interval": 0}, "check_interval=0; expected a whole number of at least 1"),
        (
            GradientExplosion,
            {"gradient_explosion_threshold": 1},
            "gradient_explosion_threshold=1; expected a number above 1 and below inf",
        ),
        (GradientVanishing, {"patience": 0}, "patience=0; expected a whole number of at least 1"),
        (AlwaysClipped, {"max_norm": 0.0}, "max_norm=0.0; expected a number above 0 and below inf"),
        (
            DeadHeatmaps,
            {"dead_heatmaps_threshold": 0.3},
            "dead_heatmaps_threshold=0.3; expected a number above 0.5 and below 1",
        ),
        (
            SaturatedHeatmaps,
            {"grace_iterations": -1},
            "grace_iterations=-1; expected a whole number of at least 0",
        ),
        (DeadTokens, {"num_reference": 2}, "num_reference=2; expected a whole number of at least 3"),
        (
            LossTermMissing,
            {"check_interval": 1.5},
            "check_interval=1.5; expected a whole number of at least 1",
        ),
        (LossTermZero, {"check_interval": -1}, "check_interval=-1; expected a whole number of at least 1"),
        (
            LossTermSwallowing,
            {"loss_term_swallowing_threshold": 0.4},
            "loss_term_swallowing_threshold=0.4; expected a number above 0.5 and below 1",
        ),
        (RanksDisagree, {"num_recent": 2}, "num_recent=2; expected a whole number of at least 6"),
        (
            DataStarvation,
            {"data_starvation_threshold": 30},
            "data_starvation_threshold=30; expected a number above 0 and below 1",
        ),
        (ThroughputDrop, {"lost_s": 0}, "lost_s=0; expected a number above 0 and below inf"),
        (
            MemoryGrowth,
            {"absolute_floor": "1"},
            "absolute_floor='1'; expected a number above 0 and below inf",
        ),
        (
            DiskLow,
            {"checkpoint_iterations": 0},
            "checkpoint_iterations=0; expected a whole number of at least 1",
        ),
        (
            LrUnexpected,
            {"lr_unexpected_threshold": 1.0},
            "lr_unexpected_threshold=1.0; expected a number above 0 and below 1",
        ),
        (BehindSchedule, {"total_epochs": 0}, "total_epochs=0; expected a whole number of at least 1"),
    ],
)
def test_parameters_are_checked_in_the_constructor(
    kind: type[Detector], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        kind(**parameters)
    assert str(error.value) == f"{kind.__name__}: {message}"
