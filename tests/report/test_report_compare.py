"""What is said about the difference of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdpose.evaluation.bootstrap import Interval
from sdpose.monitor.readers.run_config import differences, flat
from sdpose.report.compare import ComparedRun
from sdpose.report.run_summary import RunSummary


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Interval(0.011, 0.004, 0.018), "better by 0.011 [0.004, 0.018]"),
        (Interval(-0.011, -0.018, -0.004), "worse by 0.011 [0.004, 0.018]"),
        (Interval(0.011, -0.004, 0.018), "no difference shown: 0.011 [-0.004, 0.018]"),
        (Interval(0.0, 0.0, 0.0), "no difference shown: 0.000 [0.000, 0.000]"),
    ],
)
def test_a_change_is_named_only_beyond_noise(change: Interval, sentence: str) -> None:
    summary = RunSummary(path=Path("run"), state="finished")
    run = ComparedRun(summary=summary, evaluation=None, interval=None, change=change)
    assert run.sentence == sentence


def test_without_a_change_the_reason_is_said() -> None:
    summary = RunSummary(path=Path("run"), state="finished")
    run = ComparedRun(summary=summary, evaluation=None, interval=None, change=None, note="never evaluated")
    assert run.sentence == "never evaluated"


def test_where_a_run_lies_and_what_it_is_called_is_no_difference() -> None:
    ours = {"work_dir": "a", "date": "1024", "optimizer": {"lr": 0.1, "type": "Adam"}, "hooks": [{"x": 1}]}
    theirs = {"work_dir": "b", "optimizer": {"lr": 0.2, "type": "Adam"}, "hooks": [{"x": 1, "y": (1, 2)}]}
    assert differences([flat(ours), flat(theirs)]) == [
        ("optimizer.lr", ["0.1", "0.2"]),
        ("hooks.0.y", [None, "(1, 2)"]),
    ]
