"""What all detectors of a live run keep: resume, reset, scale, silence in health, no value no word."""

from __future__ import annotations

import functools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import monitor_live_runs
import pytest
from monitor_live_runs import FACTS
from monitor_records import EPOCH_LENGTH, train, val

from sdpose.monitor import Record
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

# As live_detectors makes them, with a little less patience where the wild run is too short for more.
MAKERS: dict[str, Callable[[float], Detector]] = {
    "always_clipped": lambda scale: AlwaysClipped(max_norm=0.2 * scale, check_interval=100),
    "behind_schedule": lambda _: BehindSchedule(total_epochs=20),
    "data_starvation": lambda _: DataStarvation(check_interval=30),
    "dead_heatmaps": lambda _: DeadHeatmaps(),
    "dead_tokens": lambda _: DeadTokens(check_interval=20),
    "disk_low": lambda _: DiskLow(checkpoint_mib=80.0, checkpoint_iterations=500),
    "gradient_explosion": lambda _: GradientExplosion(num_reference=10),
    "gradient_vanishing": lambda _: GradientVanishing(check_interval=20),
    "loss_term_missing": lambda _: LossTermMissing(expected=("kpt_dist_loss",)),
    "loss_term_swallowing": lambda _: LossTermSwallowing(),
    "loss_term_zero": lambda _: LossTermZero(),
    "lr_unexpected": lambda _: LrUnexpected(),
    "memory_growth": lambda _: MemoryGrowth(),
    "ranks_disagree": lambda _: RanksDisagree(),
    "saturated_heatmaps": lambda _: SaturatedHeatmaps(),
    "throughput_drop": lambda _: ThroughputDrop(check_interval=20),
}
each_kind = pytest.mark.parametrize("kind", sorted(MAKERS))
SEEDS = range(4)
# The kinds of detectors take turns fastest: each run is made once, not once a kind.
healthy_run = functools.lru_cache(maxsize=2)(monitor_live_runs.healthy_run)
wild_run = functools.lru_cache(maxsize=len(SEEDS))(monitor_live_runs.wild_run)


def findings(detector: Detector, records: Sequence[Record]) -> list[Finding]:
    return [found for record in records for found in detector.update(record)]


def test_every_live_detector_is_held_to_the_contract() -> None:
    long_run = replace(FACTS, total_epochs=300, epoch_length=2341)
    assert live_detectors(long_run).keys() == MAKERS.keys()
    for kind, detector in live_detectors(long_run).items():
        assert type(detector) is type(MAKERS[kind](1.0))


@each_kind
def test_wild_runs_make_it_speak_and_it_speaks_of_its_kind(kind: str) -> None:
    found = [finding for seed in SEEDS for finding in findings(MAKERS[kind](1.0), wild_run(seed))]
    assert {finding.kind for finding in found} == {kind}
    for finding in found:
        json.dumps(finding.evidence, allow_nan=False)


@each_kind
@pytest.mark.parametrize("seed", SEEDS)
def test_resumed_equals_uninterrupted(kind: str, seed: int) -> None:
    records = wild_run(seed)
    cuts = set(random.Random(seed).sample(range(len(records)), 12))
    whole, expected, states = MAKERS[kind](1.0), [], {}
    for number, record in enumerate(records):
        if number in cuts:
            states[len(expected), number] = json.dumps(whole.state_dict(), allow_nan=False)
        expected += [repr(finding) for finding in whole.update(record)]
    for (num_found, cut), state in states.items():
        after = MAKERS[kind](1.0)
        after.load_state_dict(json.loads(state))
        assert [repr(finding) for finding in findings(after, records[cut:])] == expected[num_found:]


@each_kind
def test_saved_state_does_not_change_afterwards(kind: str) -> None:
    detector, records = MAKERS[kind](1.0), wild_run(1)
    findings(detector, records[:700])
    state = detector.state_dict()
    saved = json.dumps(state)
    findings(detector, records[700:])
    assert json.dumps(state) == saved


@each_kind
def test_reset_is_as_new(kind: str) -> None:
    detector = MAKERS[kind](1.0)
    findings(detector, wild_run(2))
    detector.reset()
    assert detector.state_dict() == MAKERS[kind](1.0).state_dict()
    assert repr(findings(detector, wild_run(3))) == repr(findings(MAKERS[kind](1.0), wild_run(3)))


@each_kind
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_healthy_runs_are_silent_whatever_the_size_of_their_losses(
    kind: str, seed: int, scale: float
) -> None:
    facts = replace(FACTS, max_norm=5.0 * scale)
    detector = live_detectors(facts).get(kind, MAKERS[kind](5.0 * scale))
    assert findings(detector, healthy_run(seed, scale=scale)) == []


@each_kind
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_size_of_losses_and_gradients_does_not_matter(kind: str, scale: float) -> None:
    def scaled(record: Record) -> Record:
        values = {
            name: value * scale if "loss" in name or name == "grad_norm" else value
            for name, value in record.values.items()
        }
        return replace(record, values=values)

    records = wild_run(0)
    expected = [(finding.iteration, finding.severity) for finding in findings(MAKERS[kind](1.0), records)]
    found = findings(MAKERS[kind](scale), [scaled(record) for record in records])
    assert [(finding.iteration, finding.severity) for finding in found] == expected


@each_kind
def test_constant_values_are_no_alarm(kind: str) -> None:
    healthy = healthy_run(0)
    last = next(record for record in reversed(healthy) if "host_memory" in record.values)
    detector = MAKERS[kind](1.0)
    for iteration in range(1, 1500):
        epoch = (iteration - 1) // EPOCH_LENGTH + 1
        record = replace(last, iteration=iteration, epoch=epoch, epoch_iteration=iteration % EPOCH_LENGTH)
        assert list(detector.update(record)) == []
        assert list(detector.update(val(epoch, 0.75))) == []


@each_kind
def test_records_without_its_values_pass(kind: str) -> None:
    detector = MAKERS[kind](1.0)
    if kind == "loss_term_missing":
        detector = LossTermMissing()
    for iteration in range(1, 500):
        assert list(detector.update(train(iteration, 1.0 / iteration))) == []
        other = replace(val(iteration, 0.0), values={"AR": 0.1})
        assert list(detector.update(other)) == []


@each_kind
def test_values_that_are_not_finite_are_another_detectors_business(kind: str) -> None:
    detector = MAKERS[kind](1.0)
    for value in (float("nan"), float("inf"), -float("inf")):
        for record in healthy_run(1, num_iterations=300):
            broken = replace(record, values=dict.fromkeys(record.values, value))
            assert [finding for finding in detector.update(broken) if finding.severity != "info"] == []
        json.dumps(detector.state_dict(), allow_nan=False)


def test_all_of_them_together_cost_a_training_nothing() -> None:
    detectors = live_detectors(FACTS)
    records = healthy_run(5)
    began = time.process_time()
    for record in records:
        for detector in detectors.values():
            detector.update(record)
    assert (time.process_time() - began) / len(records) < 500e-6
