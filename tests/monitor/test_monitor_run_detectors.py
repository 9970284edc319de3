"""Runs of records -> where divergence, no learning, collapse, overfitting and plateaus are found."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from monitor_records import losses, train, val

from sdpose.monitor import Record, RunFacts
from sdpose.monitor.cooldown import Cooldown
from sdpose.monitor.detector import Detector
from sdpose.monitor.detectors import (
    Divergence,
    MetricCollapse,
    NoLearning,
    Overfitting,
    PerformanceDrop,
    Plateau,
)
from sdpose.monitor.finding import Finding
from sdpose.monitor.history import MAX_POINTS, CheckHistory
from sdpose.monitor.panel import interval_for


def findings(detector: Detector, records: Sequence[Record]) -> list[Finding]:
    return [finding for record in records for finding in detector.update(record)]


def noisy(levels: Sequence[float], seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [level * math.exp(rng.gauss(0, 0.1)) for level in levels]


def falling(size: int) -> list[float]:
    return [0.001 + 0.3 * math.exp(-iteration / 150) for iteration in range(size)]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_divergence_is_found_soon_and_placed_where_it_began(scale: float) -> None:
    healthy = noisy([scale * level for level in falling(3000)])
    assert findings(Divergence(check_interval=20), losses(healthy)) == []
    series = healthy[:2000] + noisy([scale * 0.0055] * 1000, seed=1)
    (found,) = findings(Divergence(check_interval=20), losses(series))
    assert (found.kind, found.severity) == ("divergence", "critical")
    assert 2000 < found.iteration <= 2500
    assert abs(found.evidence["first_iteration"] - 2001) <= 20
    assert found.evidence["ratio"] > 3


def test_a_rising_loss_within_the_warmup_is_no_divergence() -> None:
    series = noisy([0.05 + iteration / 1000 for iteration in range(1000)]) + noisy([1.0] * 600, seed=2)
    assert findings(Divergence(check_interval=20, warmup_iterations=1000), losses(series)) == []
    assert findings(Divergence(check_interval=20), losses(series)) != []


def test_who_forgets_what_it_knew_has_diverged_even_in_the_warmup() -> None:
    loss = noisy([0.0045] * 100 + [0.0045 + iteration * 1e-4 for iteration in range(100)] + [0.014] * 300)
    accuracy = [0.7] * 120 + [0.4] * 380
    records = [
        train(i, *pair[:1], acc_pose=pair[1]) for i, pair in enumerate(zip(loss, accuracy, strict=True), 1)
    ]
    (found,) = findings(Divergence(check_interval=10, warmup_iterations=450), records)
    assert found.iteration < 350
    keeps = [train(i, level, acc_pose=0.7) for i, level in enumerate(loss, start=1)]
    assert findings(Divergence(check_interval=10, warmup_iterations=450), keeps) == []


def run_of(levels: Sequence[float], *, peak: float, accuracy: float = 0.02) -> list[Record]:
    return [
        train(i, level, heatmap_peak=peak, acc_pose=accuracy)
        for i, level in enumerate(noisy(levels), start=1)
    ]


PLATEAU = [0.0055 + 0.3 * math.exp(-iteration / 20) for iteration in range(1200)]


def test_the_plateau_of_empty_heatmaps_is_found() -> None:
    (found,) = findings(NoLearning(check_interval=20), run_of(PLATEAU, peak=0.01))
    assert (found.kind, found.evidence["plateau"]) == ("no_learning", True)
    assert found.iteration <= 600


def test_the_plateau_that_every_training_goes_through_is_given_time() -> None:
    records = run_of(PLATEAU, peak=0.01)
    (found,) = findings(NoLearning(check_interval=20, plateau_iterations=1000), records)
    assert found.iteration >= 1000
    flat = run_of([0.3] * 1200, peak=0.01)
    (found,) = findings(NoLearning(check_interval=20, plateau_iterations=1000), flat)
    assert found.iteration < 600


def test_a_loss_far_above_that_of_random_weights_has_diverged_even_in_the_warmup() -> None:
    series = noisy([0.3] * 60 + [3.0] * 200)
    records = [train(i, loss, acc_pose=0.01) for i, loss in enumerate(series, start=1)]
    (found,) = findings(Divergence(check_interval=10, warmup_iterations=500), records)
    assert abs(found.evidence["first_iteration"] - 61) <= 10
    assert findings(Divergence(check_interval=10, warmup_iterations=500), losses(series)) == []


def test_a_flat_loss_with_good_heatmaps_or_a_rising_ap_has_learnt_before() -> None:
    assert findings(NoLearning(check_interval=20), run_of(PLATEAU, peak=0.6, accuracy=0.7)) == []
    records = run_of(PLATEAU, peak=0.01)
    with_scores = [
        extra
        for record in records
        for extra in (
            [record, val(record.iteration // 50, 0.02 * record.iteration / 50)]
            if record.iteration % 50 == 0
            else [record]
        )
    ]
    assert len(findings(NoLearning(check_interval=20), with_scores)) <= 1


def scores(values: Sequence[float]) -> list[Record]:
    return [val(epoch, value) for epoch, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ([], []),
        ([0.0, 0.0], []),
        ([0.0, 0.0, 0.0], [("metric_zero", 3)]),
        ([0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.5], [("metric_zero", 3)]),
        ([0.0, 0.1, 0.3, 0.5, 0.6, 0.58], []),
        ([0.3, 0.5, 0.6, 0.0], [("metric_collapse", 4)]),
        ([0.3, 0.5, 0.6, 0.0, 0.0, 0.6, 0.6, 0.01], [("metric_collapse", 4), ("metric_collapse", 8)]),
        ([0.3, 0.5, 0.6, 0.15, 0.16], [("metric_collapse", 5)]),
        ([0.3, 0.5, 0.6, 0.3, 0.6, 0.55], []),
        ([0.01, 0.02, 0.001], []),
    ],
)
def test_collapse_and_zero(values: list[float], kinds: list[tuple[str, int]]) -> None:
    assert [(f.kind, f.epoch) for f in findings(MetricCollapse(), scores(values))] == kinds


def test_zero_at_the_beginning_of_a_long_run_is_no_fault() -> None:
    assert findings(MetricCollapse(total_epochs=300), scores([0.0] * 14)) == []
    assert [f.epoch for f in findings(MetricCollapse(total_epochs=300), scores([0.0] * 70))] == [60]
    shown = [train(1, 0.002, acc_pose=0.7), *scores([0.0] * 14)]
    assert [f.epoch for f in findings(MetricCollapse(total_epochs=300), shown)] == [2]
    lost = [train(1, 0.002, acc_pose=0.7), *scores([0.03, 0.02, 0.03])]
    assert [f.kind for f in findings(MetricCollapse(), lost)] == ["metric_zero"]
    early = [train(1, 0.005, acc_pose=0.15), *scores([0.001, 0.002, 0.003])]
    assert findings(MetricCollapse(), early) == []


def epochs(pairs: Sequence[tuple[float, float]]) -> list[Record]:
    return [
        record
        for epoch, (loss, ap) in enumerate(pairs, start=1)
        for record in (train(epoch, loss), val(epoch, ap))
    ]


def test_overfitting_is_a_sinking_ap_under_a_falling_loss() -> None:
    rising = [(1 / epoch, 0.6 * (1 - 0.7**epoch)) for epoch in range(1, 12)]
    sinking = [(1 / epoch, 0.58 - 0.01 * (epoch - 11)) for epoch in range(12, 20)]
    (found,) = findings(Overfitting(), epochs(rising + sinking))
    assert (found.kind, found.evidence["best_epoch"]) == ("overfitting", 11)
    assert findings(Overfitting(), epochs([*rising, *((1.0, ap) for _, ap in sinking)])) == []
    assert findings(Overfitting(), epochs(rising)) == []


def test_a_plateau_is_for_information_and_said_once() -> None:
    rng = random.Random(3)
    values = [0.7 * (1 - 0.8**epoch) + rng.gauss(0, 0.003) for epoch in range(80)]
    found = findings(Plateau(), scores(values))
    assert [(f.kind, f.severity) for f in found] == [("plateau", "info")]
    assert findings(Plateau(), scores(values[:25])) == []


def with_interval(ap: float, low: float, epoch: int) -> Record:
    record = val(epoch, ap)
    return Record(
        mode="val",
        epoch=record.epoch,
        iteration=record.iteration,
        epoch_iteration=record.epoch_iteration,
        epoch_length=record.epoch_length,
        values={**record.values, "AP_below_best_low": low, "AP_below_best_high": low + 0.1},
        time=record.time,
    )


def test_a_drop_is_judged_against_its_noise() -> None:
    best = val(1, 0.72)
    by_chance = [best, with_interval(0.66, -0.01, 2)]
    assert [f.severity for f in findings(PerformanceDrop(), by_chance)] == ["info"]
    real = [best, with_interval(0.66, 0.02, 2)]
    assert [f.severity for f in findings(PerformanceDrop(), real)] == ["warning"]
    small = [best, *(with_interval(0.70, 0.005, epoch) for epoch in (2, 3, 4, 5))]
    assert [f.severity for f in findings(PerformanceDrop(), small)] == ["info", "info", "warning", "info"]


def test_history_keeps_the_whole_run_in_bounded_memory() -> None:
    history = CheckHistory(5)
    for iteration in range(1, 20_001):
        history.add(iteration, float(iteration))
    assert MAX_POINTS / 2 <= len(history) < MAX_POINTS
    assert history.iteration_at(0) == 1
    assert history.means[0] == pytest.approx((1 + history.iteration_at(1) - 1) / 2)
    assert history.index_after(10_000) == pytest.approx(len(history) / 2, abs=2)


def finding(iteration: int, severity: str = "warning", kind: str = "loss_spike") -> Finding:
    return Finding(
        kind=kind,
        severity=severity,  # type: ignore[arg-type]
        epoch=1,
        iteration=iteration,
        metric="loss",
        value=1.0,
        evidence={},
        time=0.0,
    )


def test_a_fault_that_lasts_is_said_once_and_counted() -> None:
    cooldown = Cooldown(100)
    said = [cooldown.sift([finding(iteration)]) for iteration in (10, 50, 109, 110)]
    assert [len(each) for each in said] == [1, 0, 0, 1]
    assert said[-1][0].evidence == {"held_back": 2}
    graver, other = finding(120, "critical"), finding(121, kind="divergence")
    assert cooldown.sift([graver, other]) == [graver, other]
    assert cooldown.sift([finding(122)]) == []


@pytest.mark.parametrize(
    ("facts", "interval"),
    [
        (RunFacts(), 50),
        (RunFacts(total_epochs=300, epoch_length=2340), 50),
        (RunFacts(total_epochs=5, epoch_length=100), 4),
        (RunFacts(total_epochs=1, epoch_length=4), 1),
    ],
)
def test_a_short_run_is_looked_at_more_often(facts: RunFacts, interval: int) -> None:
    assert interval_for(facts, 50) == interval


@pytest.mark.parametrize(("lr_at_the_end", "kinds"), [(1e-3, ["plateau"]), (1e-4, [])])
def test_a_step_of_the_learning_rate_ends_a_plateau(lr_at_the_end: float, kinds: list[str]) -> None:
    records = [val(epoch, 0.5, lr=1e-3 if epoch < 6 else lr_at_the_end) for epoch in range(1, 9)]
    assert [found.kind for found in findings(Plateau(num_evaluations=3), records)] == kinds


@pytest.mark.parametrize(
    ("series", "alarm"),
    [
        # Random weights at a rate of 3 (measured): the loss falls to the end, to nine times that of no step at all.
        ([0.107, 14.0, 30.0, 16.8, 6.6, 11.2, 5.6, 5.8, 2.0, 1.2, 1.0, 0.94, 0.9, 0.8], True),
        ([0.107, 0.104, 0.1, 0.09, 0.08, 0.08, 0.079], False),
        ([0.0040, 0.0131, 0.0051, 0.0046, 0.0042, 0.0061, 0.0050], False),
        ([0.1, 9.0, 9.0, 9.0], False),
        ([], False),
    ],
    ids=["learnt less than nothing", "a short healthy one", "wavers", "too few to say", "no iteration"],
)
def test_a_short_run_is_compared_with_its_first_iteration(series: list[float], alarm: bool) -> None:
    records = [train(number, loss, acc_pose=0.01) for number, loss in enumerate(series, start=1)]
    detector = Divergence(check_interval=1, warmup_iterations=100)
    assert findings(detector, records) == []
    resumed = Divergence(check_interval=1, warmup_iterations=100)
    resumed.load_state_dict(detector.state_dict())
    found = resumed.finish()
    assert [(each.kind, each.iteration, each.evidence["best"]) for each in found] == (
        [("divergence", len(series), series[0])] if alarm else []
    )
    assert Divergence().finish() == ()
    foreign = Divergence(check_interval=1)
    assert findings(foreign, losses(series)) == []
    assert foreign.finish() == (), "a loop of others may begin with little"
