"""A resumed monitor is the one that never stopped."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from monitor_records import losses, train, val

from sdpose.monitor import DetailedLossLogHook, Monitor, Record, RunFacts, TrainingMonitorHook


def wild_run(seed: int, num_iterations: int = 300) -> list[Record]:
    rng = random.Random(seed)
    level, records = 5e-3, []
    for iteration in range(1, num_iterations + 1):
        if rng.random() < 0.03:
            level = 10 ** rng.uniform(-3, 0)
        heatmap = math.nan if rng.random() < 0.02 else level * rng.uniform(0.5, 2.0)
        records.append(train(iteration, heatmap + 6e-7, heatmap_loss=heatmap, kpt_dist_loss=6e-7))
        if iteration % 20 == 0:
            records.append(val(iteration // 20, rng.random()))
    return records


class Process:
    """One process of a run: what it said, and its state as a checkpoint would hold it."""

    def __init__(self, work_dir: Path, state: str | None = None) -> None:
        self.said: list[str] = []
        hooks = [TrainingMonitorHook(check_interval=10), DetailedLossLogHook(log_interval=15)]
        self.monitor = Monitor(hooks, log=self.said.append)
        if state is not None:
            self.monitor.load_state_dict(json.loads(state))
        self.facts = RunFacts(work_dir=work_dir, lr=1e-3, language="en")
        assert self.monitor.start(self.facts) == ()

    def observe(self, records: Sequence[Record], rng: random.Random) -> list[str]:
        """The alerts, whatever the portions in which records are handed over."""
        alerts, start = [], 0
        while start < len(records):
            end = start + rng.randint(1, 60)
            alerts += [repr(alert) for alert in self.monitor.observe(records[start:end])]
            start = end
        return alerts


@pytest.mark.parametrize("seed", range(8))
def test_a_resumed_monitor_is_the_one_that_never_stopped(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    records = wild_run(seed)
    whole = Process(tmp_path)
    alerts = whole.observe(records, rng)
    assert whole.monitor.finish("finished") == ()
    statistics = (tmp_path / "training_stats.txt").read_bytes()
    assert len(alerts) >= 2
    assert len(whole.said) == 20
    for cut in rng.sample(range(len(records)), 6):
        first = Process(tmp_path)
        before = first.observe(records[:cut], rng)
        resumed = Process(tmp_path, json.dumps(first.monitor.state_dict()))
        assert before + resumed.observe(records[cut:], rng) == alerts
        assert first.said + resumed.said == whole.said
        resumed.monitor.finish("finished")
        assert (tmp_path / "training_stats.txt").read_bytes() == statistics
        assert resumed.monitor.state_dict() == whole.monitor.state_dict()


def test_state_is_plain_data() -> None:
    def check(value: object) -> None:
        assert type(value) in (dict, list, str, int, float, bool, type(None)), value
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
        for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(member)

    monitor = Monitor([TrainingMonitorHook(check_interval=10), DetailedLossLogHook()])
    check(monitor.state_dict())
    monitor.observe(wild_run(1))
    check(monitor.state_dict())


def test_a_resume_may_change_the_hooks_parameters() -> None:
    before = Monitor([TrainingMonitorHook(check_interval=50), DetailedLossLogHook(log_interval=50)])
    before.observe(losses([1.0] * 330))
    after = Monitor([TrainingMonitorHook(check_interval=10), DetailedLossLogHook(log_interval=10)])
    after.load_state_dict(before.state_dict())
    alerts = after.observe(losses([1.0] * 10 + [9.0] * 10, start=331))
    assert [alert.iteration for alert in alerts] == [350]
