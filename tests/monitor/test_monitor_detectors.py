"""Series of values -> where each detector alarms, and the contract that all of them keep."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from monitor_records import EPOCH_LENGTH, aps, losses, train, val

from sdpose.monitor import Record
from sdpose.monitor.detector import Detector
from sdpose.monitor.detectors import LossSpike, NonFinite, PerformanceDrop
from sdpose.monitor.finding import Finding

NAN, INF = math.nan, math.inf


def findings(detector: Detector, records: Sequence[Record]) -> list[Finding]:
    return [finding for record in records for finding in detector.update(record)]


def alarms(detector: Detector, records: Sequence[Record]) -> list[int]:
    return [finding.iteration for finding in findings(detector, records)]


def each(values: Sequence[float], num_iterations: int) -> list[float]:
    """Every value for that many iterations."""
    return [value for value in values for _ in range(num_iterations)]


@pytest.mark.parametrize(
    ("series", "alarm_at"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([1.0], [], id="one iteration"),
        pytest.param(each([1.0], 1000), [], id="constant"),
        pytest.param(each([0.0], 1000), [], id="all zero"),
        pytest.param(each([0, 0, 0, 0, 0, 1], 10), [], id="from zero: no ratio"),
        pytest.param(each([1, 1, 1, 1, 9], 10), [], id="four checks are not enough history"),
        pytest.param(each([1, 1, 1, 1, 1, 9], 10), [60], id="five are"),
        pytest.param(each([1, 1, 1, 1, 1, 2], 10), [60], id="exactly twofold"),
        pytest.param(each([1, 1, 1, 1, 1, 1.99], 10), [], id="just below"),
        pytest.param(each([1, 1, 1, 1, 1, 2, 2, 2, 2], 10), [60], id="stays doubled"),
        pytest.param(each([1, 1, 1, 1, 1, 5, 5, 5, 5], 10), [60, 70], id="stays fivefold"),
        pytest.param(each([1, 1, 1, 1, 1, 5, 1, 1, 1, 1, 1, 5], 10), [60, 120], id="twice"),
        pytest.param(each([5, 4, 3, 2, 1, 0.5, 0.4], 10), [], id="falling"),
        pytest.param(each([1], 50) + [1] * 9 + [20], [60], id="one iteration lifts the mean to 2.9"),
        pytest.param(each([1], 50) + [1] * 9 + [10], [], id="one iteration lifts the mean to 1.9"),
        pytest.param(each([1], 50) + [NAN] * 10, [], id="only NaN is no check"),
        pytest.param(each([1], 50) + [NAN, INF] + [2.5] * 8, [60], id="NaN and Inf take no part"),
        pytest.param(each([1e-300] * 5 + [1e300], 10), [], id="rounding noise before"),
        pytest.param(each([1e-10] * 5 + [1e300], 10), [60], id="ratio beyond every float"),
        pytest.param(each([1e308] * 6, 10), [], id="sums that would overflow"),
        pytest.param(each([-1] * 5 + [9], 10), [], id="negative average: no ratio"),
    ],
)
def test_loss_spike(series: list[float], alarm_at: list[int]) -> None:
    assert alarms(LossSpike(check_interval=10), losses(series)) == alarm_at


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_loss_spike_is_scale_free(scale: float) -> None:
    series = [scale * value for value in each([1, 1.2, 0.9, 1, 1, 3, 1, 1], 10)]
    assert alarms(LossSpike(check_interval=10), losses(series)) == [60]


def test_loss_spike_finding_carries_its_numbers() -> None:
    (finding,) = findings(LossSpike(check_interval=50), losses(each([1, 2, 3, 4, 5, 9], 50)))
    assert finding == Finding(
        kind="loss_spike",
        severity="warning",
        epoch=3,
        iteration=300,
        metric="loss",
        value=9.0,
        evidence={
            "current": 9.0,
            "recent_average": 3.0,
            "ratio": 3.0,
            "loss_spike_threshold": 2.0,
            "first_iteration": 251,
        },
        time=1300.0,
    )


def test_loss_spike_checks_at_multiples_of_the_interval_also_when_it_starts_in_between() -> None:
    assert alarms(LossSpike(check_interval=10), losses(each([1], 53) + [4.0] * 10, start=8)) == [70]


def test_loss_spike_works_on_logs_with_one_record_an_interval() -> None:
    records = [train(50 * i, loss) for i, loss in enumerate([1, 1, 1, 1, 1, 3], start=1)]
    assert alarms(LossSpike(check_interval=50), records) == [300]


def test_loss_spike_watches_the_metric_it_is_told() -> None:
    records = [train(i, 1.0, heatmap_loss=9.0 if i > 50 else 1.0) for i in range(1, 61)]
    assert alarms(LossSpike(check_interval=10), records) == []
    assert alarms(LossSpike(check_interval=10, metric="heatmap_loss"), records) == [60]


@pytest.mark.parametrize(
    ("series", "alarm_at_epoch"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([0.5], [], id="one evaluation"),
        pytest.param([0.0, 0.0, 0.0], [], id="zero is a start, not a drop"),
        pytest.param([0.7, 0.7], [], id="constant"),
        pytest.param([0.1, 0.3, 0.5], [], id="rising"),
        pytest.param([0.72, 0.6701], [], id="just below 0.05"),
        pytest.param([0.72, 0.67], [2], id="exactly 0.05, whatever floats make of it"),
        pytest.param([0.72, 0.65, 0.66], [2, 3], id="the guide's example, and still down"),
        pytest.param([0.72, 0.65, 0.73, 0.69, 0.68], [2, 5], id="against the best so far, not the last"),
        pytest.param([0.60, 0.58, 0.56, 0.54], [4], id="in small steps"),
        pytest.param([0.7, NAN, 0.7], [], id="NaN is another detector's business"),
        pytest.param([NAN, 0.7, 0.6], [3], id="NaN first"),
        pytest.param([0.7, -1.0], [2], id="-1 is what COCO gives for nobody"),
    ],
)
def test_performance_drop(series: list[float], alarm_at_epoch: list[int]) -> None:
    assert alarms(PerformanceDrop(), aps(series)) == [epoch * EPOCH_LENGTH for epoch in alarm_at_epoch]


def test_performance_drop_finding_carries_its_numbers() -> None:
    (finding,) = findings(PerformanceDrop(), aps([0.5, 0.75, 0.74, 0.5]))
    assert (finding.kind, finding.severity, finding.metric) == ("performance_drop", "warning", "AP")
    assert (finding.epoch, finding.iteration, finding.value) == (4, 400, 0.5)
    assert finding.evidence == {
        "current": 0.5,
        "best": 0.75,
        "best_epoch": 2,
        "drop": 0.25,
        "performance_drop_threshold": 0.05,
        "low": None,
        "high": None,
        "details": {},
    }


def test_performance_drop_passes_over_evaluations_without_its_metric() -> None:
    other = Record(**{**_fields(val(2, 0.0)), "values": {"AR": 0.1}})
    assert alarms(PerformanceDrop(), [val(1, 0.7), other, val(3, 0.7)]) == []


@pytest.mark.parametrize(
    ("series", "alarm_at"),
    [
        pytest.param([], [], id="empty"),
        pytest.param([1.0] * 5, [], id="finite"),
        pytest.param([1e308, -1e308, 0.0], [], id="large is finite"),
        pytest.param([NAN], [1], id="first iteration"),
        pytest.param([1, 1, INF], [3], id="Inf"),
        pytest.param([1, -INF, 1], [2], id="-Inf"),
        pytest.param([1, NAN, NAN, NAN, NAN], [2], id="once an episode"),
        pytest.param([1, NAN, 1, NAN, 1, 1, NAN], [2], id="flickering is one episode"),
        pytest.param([1, NAN, 1, 1, 1, NAN], [2, 6], id="three quiet iterations end it"),
    ],
)
def test_non_finite(series: list[float], alarm_at: list[int]) -> None:
    assert alarms(NonFinite(num_quiet_iterations=3), losses(series)) == alarm_at


def test_non_finite_names_the_term_and_not_the_sum() -> None:
    records = [
        train(1, 1.0, heatmap_loss=1.0, lr=0.1),
        train(2, NAN, heatmap_loss=INF, kpt_dist_loss=0.5, lr=0.1),
    ]
    (finding,) = findings(NonFinite(), records)
    assert (finding.kind, finding.severity, finding.iteration) == ("non_finite", "critical", 2)
    assert (finding.metric, finding.value) == ("heatmap_loss", INF)
    assert list(finding.evidence["values"]) == ["heatmap_loss", "loss"]
    assert finding.evidence["mode"] == "train"
    assert finding.evidence["finite"] == ["kpt_dist_loss", "lr"]


def test_non_finite_speaks_again_when_another_value_joins() -> None:
    records = [train(1, 1.0, grad_norm=INF), train(2, NAN, grad_norm=INF), train(3, NAN, grad_norm=NAN)]
    found = findings(NonFinite(), records)
    assert [(finding.iteration, finding.metric) for finding in found] == [(1, "grad_norm"), (2, "loss")]


def test_non_finite_of_an_evaluation_is_its_metric_and_its_losses() -> None:
    assert alarms(NonFinite(), [val(1, 0.5, **{"AP (M)": NAN})]) == []
    assert alarms(NonFinite(), [val(1, NAN)]) == [100]
    assert alarms(NonFinite(), [val(1, 0.5, val_loss=INF)]) == [100]


DETECTORS: list[Callable[[], Detector]] = [
    lambda: LossSpike(check_interval=10),
    lambda: PerformanceDrop(performance_drop_threshold=0.1),
    lambda: NonFinite(num_quiet_iterations=5),
]
each_detector = pytest.mark.parametrize("make", DETECTORS, ids=["LossSpike", "PerformanceDrop", "NonFinite"])


def wild_run(seed: int, num_iterations: int = 400) -> list[Record]:
    """Losses with jumps and NaN, an evaluation every 25 iterations."""
    rng = random.Random(seed)
    level, records = 1.0, []
    for iteration in range(1, num_iterations + 1):
        if rng.random() < 0.02:
            level = 10 ** rng.uniform(-2, 2)
        loss = NAN if rng.random() < 0.03 else level * rng.uniform(0.5, 2.0)
        records.append(train(iteration, loss, grad_norm=INF if rng.random() < 0.01 else 1.0))
        if iteration % 25 == 0:
            records.append(val(iteration // 25, NAN if rng.random() < 0.1 else rng.random()))
    return records


@each_detector
def test_the_wild_run_makes_every_detector_speak(make: Callable[[], Detector]) -> None:
    assert len(alarms(make(), wild_run(0))) >= 2


@each_detector
@pytest.mark.parametrize("seed", range(5))
def test_resumed_equals_uninterrupted(make: Callable[[], Detector], seed: int) -> None:
    records = wild_run(seed)
    expected = [repr(finding) for finding in findings(make(), records)]
    for cut in random.Random(seed).sample(range(len(records)), 15):
        before, after = make(), make()
        found = findings(before, records[:cut])
        after.load_state_dict(json.loads(json.dumps(before.state_dict(), allow_nan=False)))
        assert [repr(finding) for finding in [*found, *findings(after, records[cut:])]] == expected


@each_detector
def test_saved_state_does_not_change_afterwards(make: Callable[[], Detector]) -> None:
    detector, records = make(), wild_run(1)
    findings(detector, records[:107])
    state = detector.state_dict()
    saved = json.dumps(state)
    findings(detector, records[107:])
    assert json.dumps(state) == saved


@each_detector
def test_reset_is_as_new(make: Callable[[], Detector]) -> None:
    detector = make()
    findings(detector, wild_run(2))
    detector.reset()
    assert detector.state_dict() == make().state_dict()
    assert repr(findings(detector, wild_run(3))) == repr(findings(make(), wild_run(3)))


@each_detector
def test_a_healthy_constant_run_is_no_alarm(make: Callable[[], Detector]) -> None:
    records = [record for i in range(1, 301) for record in [train(i, 0.004), val(i, 0.7)]]
    assert alarms(make(), records) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LossSpike(check_interval=0),
            "LossSpike: check_interval=0; expected a whole number of at least 1",
        ),
        (
            lambda: LossSpike(check_interval=True),
            "LossSpike: check_interval=True; expected a whole number of at least 1",
        ),
        (
            lambda: LossSpike(check_interval=2.5),  # type: ignore[arg-type]
            "LossSpike: check_interval=2.5; expected a whole number of at least 1",
        ),
        (
            lambda: LossSpike(loss_spike_threshold=1.0),
            "LossSpike: loss_spike_threshold=1.0; expected a number above 1 and below inf",
        ),
        (
            lambda: LossSpike(loss_spike_threshold=NAN),
            "LossSpike: loss_spike_threshold=nan; expected a number above 1 and below inf",
        ),
        (
            lambda: LossSpike(absolute_floor=-1.0),
            "LossSpike: absolute_floor=-1.0; expected a number above 0 and below inf",
        ),
        (
            lambda: PerformanceDrop(performance_drop_threshold=5),
            "PerformanceDrop: performance_drop_threshold=5; expected a number above 0 and below 1",
        ),
        (
            lambda: PerformanceDrop(performance_drop_threshold="0.05"),  # type: ignore[arg-type]
            "PerformanceDrop: performance_drop_threshold='0.05'; expected a number above 0 and below 1",
        ),
        (
            lambda: NonFinite(num_quiet_iterations=-1),
            "NonFinite: num_quiet_iterations=-1; expected a whole number of at least 1",
        ),
    ],
)
def test_parameters_are_checked_in_the_constructor(make: Callable[[], Detector], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        make()
    assert str(error.value) == message


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}


@pytest.mark.parametrize(("lr", "factor", "num"), [(0.1, 3.0, 1), (0.2, 3.0, 0), (0.2, 12.0, 1)])
def test_a_loss_may_jump_with_a_raised_learning_rate_but_not_tenfold(
    lr: float, factor: float, num: int
) -> None:
    records = [train(i, 1.0, lr=0.1) for i in range(1, 21)] + [train(21, factor, lr=lr)]
    assert len(findings(LossSpike(check_interval=1), records)) == num


@pytest.mark.parametrize(("spread", "num"), [(0.01, 1), (0.6, 0)])
def test_a_jump_no_larger_than_those_before_is_no_spike(spread: float, num: int) -> None:
    rng = random.Random(0)
    levels = [math.exp(rng.gauss(0, spread)) for _ in range(30)]
    records = losses([*levels, 3.5 * sum(levels[-5:]) / 5])
    assert (
        len([found for found in findings(LossSpike(check_interval=1), records) if found.iteration == 31])
        == num
    )
