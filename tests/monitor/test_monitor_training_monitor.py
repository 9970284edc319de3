"""The guide's hook as a run drives it: three faults and one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from monitor_records import losses, train, val

from sdpose.monitor import Hook, Monitor, RunFacts, TrainingMonitorHook


def test_all_three_faults_are_seen_at_their_place(tmp_path: Path) -> None:
    monitor = Monitor([TrainingMonitorHook(check_interval=10)])
    assert monitor.start(RunFacts(work_dir=tmp_path, language="en")) == ()
    records = losses([1.0] * 50 + [5.0] * 10 + [1.0] * 40)
    records += [val(1, 0.72), train(101, math.nan, heatmap_loss=math.nan), val(2, 0.65)]
    alerts = monitor.observe(records)
    assert [(alert.kind, alert.severity, alert.iteration, alert.metric) for alert in alerts] == [
        ("loss_spike", "warning", 60, "loss"),
        ("non_finite", "critical", 101, "heatmap_loss"),
        ("performance_drop", "warning", 200, "AP"),
    ]
    assert alerts[0].message == (
        "⚠️  WARNING: Loss spike detected!\n   Current: 5.0000\n   Recent avg: 1.0000\n   Ratio: 5.00x"
    )
    assert all(alert.causes and alert.actions and alert.language == "en" for alert in alerts)


def test_it_has_the_guides_defaults() -> None:
    monitor = Monitor([TrainingMonitorHook()])
    assert [a.iteration for a in monitor.observe(losses([1.0] * 250 + [2.1] * 50))] == [300]
    assert [a.kind for a in monitor.observe([val(4, 0.72), val(5, 0.68), val(6, 0.66)])] == [
        "performance_drop"
    ]


def test_statistics_are_written_when_the_run_ends(tmp_path: Path) -> None:
    monitor = Monitor([TrainingMonitorHook()])
    monitor.start(RunFacts(work_dir=tmp_path))
    monitor.observe([*losses([3.0, 1.0, 2.0]), val(1, 0.5), val(2, 0.4321)])
    assert list(tmp_path.iterdir()) == []
    assert monitor.finish("finished") == ()
    lines = (tmp_path / "training_stats.txt").read_text(encoding="utf-8").splitlines()
    assert lines[4:] == [
        "  - Mean: 2.0000",
        "  - Std: 0.8165",
        "  - Min: 1.0000",
        "  - Max: 3.0000",
        "  - Final: 2.0000",
        "",
        "Best AP: 0.5000",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["training_stats.txt"]


@pytest.mark.parametrize(
    ("hook", "facts"),
    [
        (TrainingMonitorHook(save_stats=False), RunFacts(work_dir=Path("/does/not/exist"))),
        (TrainingMonitorHook(), RunFacts()),
    ],
    ids=["switched off", "no work_dir"],
)
def test_statistics_are_not_written_otherwise(hook: Hook, facts: RunFacts) -> None:
    monitor = Monitor([hook])
    monitor.start(facts)
    assert monitor.finish("finished") == ()


def test_statistics_that_cannot_be_written_are_reported(tmp_path: Path) -> None:
    monitor = Monitor([TrainingMonitorHook()])
    monitor.start(RunFacts(work_dir=tmp_path / "gone"))
    (alert,) = monitor.finish("finished")
    assert alert.kind == "hook_failed"
    assert "training_stats.txt" in alert.message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"check_interval": 0}, "check_interval=0; expected a whole number of at least 1"),
        ({"loss_spike_threshold": 0.5}, "loss_spike_threshold=0.5; expected a number above 1 and below inf"),
        (
            {"performance_drop_threshold": 0},
            "performance_drop_threshold=0; expected a number above 0 and below 1",
        ),
        ({"save_stats": "yes"}, "save_stats='yes'; expected True or False"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        TrainingMonitorHook(**parameters)
    assert str(error.value).partition(": ")[2] == message
