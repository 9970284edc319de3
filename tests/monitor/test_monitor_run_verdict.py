"""What is said first of a run whose log shows no fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdpose.monitor.advice.verdict import RUN_VERDICTS
from sdpose.monitor.alert import Alert
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.hooks import RunFacts
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.run_verdict import RunVerdict, judge_run, run_verdict, zero_score


def log(losses: int, scores: list[float] | None = None) -> TrainingLog:
    """A loss that falls, and evaluations after it."""
    series = [curve("loss", "train", [1.0 / (1 + step) for step in range(losses)])]
    if scores:
        series.append(curve("AP", "val", scores))
    return TrainingLog(path=Path("run"), format="sdpose", series=tuple(series))


def curve(name: str, mode: Any, values: list[float]) -> Series:
    steps = np.arange(1, len(values) + 1)
    return Series(
        name=name, mode=mode, values=np.array(values), steps=steps, epochs=steps.astype(float), rows=steps
    )


def alert(kind: str, iteration: int, severity: Any = "critical", **evidence: Any) -> Alert:
    return Alert(
        kind=kind,
        severity=severity,
        epoch=1,
        iteration=iteration,
        metric=None,
        value=None,
        message=kind,
        evidence=evidence,
        causes=(),
        actions=(),
        doc="",
        language="en",
        time=0.0,
    )


@pytest.mark.parametrize(
    ("losses", "scores", "alerts", "verdict"),
    [
        (0, None, [], "too_short"),
        (7, None, [], "too_short"),
        (8, None, [], "healthy"),
        (2, [0.6], [], "healthy"),
        (5, [0.0], [], "zero_score"),
        (50, [0.0, 0.004, float("nan")], [], "zero_score"),
        (50, [0.0, 0.02], [], "healthy"),
        (50, [0.0], [alert("metric_zero", 3)], "zero_score"),
        (50, [0.6], [alert("divergence", 3)], "alarmed"),
        (50, [0.6], [alert("loss_spike", 3, "warning")], "warned"),
        (50, [0.6], [alert("loss_spike", 3, "info"), alert("recovery", 4, "warning")], "healthy"),
        (50, [0.6], [alert("divergence", 3), alert("recovery", 9, "info", helped=True)], "repaired"),
        (50, [0.6], [alert("recovery", 9, "info", helped=True), alert("divergence", 30)], "alarmed"),
    ],
)
def test_a_log_without_faults_is_not_yet_a_healthy_run(
    losses: int, scores: list[float] | None, alerts: list[Alert], verdict: RunVerdict
) -> None:
    assert run_verdict("healthy", log(losses, scores), alerts) == verdict
    assert {RUN_VERDICTS[verdict].say(language) for language in ("en", "ko")} != {""}


def test_a_fault_in_the_log_is_said_first() -> None:
    assert run_verdict("nan", log(2, [0.0]), [alert("non_finite", 1)]) == "nan"


def test_one_evaluation_of_nothing_is_explained_like_many() -> None:
    found = zero_score(log(5, [0.0]))
    assert found is not None
    said = explain(found, RunFacts(), "en")
    assert said.message.splitlines()[1:] == ["   Epoch 1: AP = 0.0000"]
    assert said.actions
    found = zero_score(log(5, [0.0, 0.0]))
    assert found is not None
    assert explain(found, RunFacts(), "en").message.endswith("In each of 2 evaluations, since epoch 1")
    assert zero_score(log(5)) is None


@pytest.mark.parametrize(
    ("scores", "total_epochs", "is_over", "found"),
    [
        ([0.0], 9, True, ["metric_zero"]),  # stopped early: the log's judge would still wait
        ([0.0], 9, False, []),
        ([0.0, 0.0], 2, True, ["metric_zero"]),  # the judge sees it by itself, and it is said once
    ],
)
def test_a_score_of_zero_is_found_once_and_only_where_no_evaluation_is_to_come(
    scores: list[float], total_epochs: int, is_over: bool, found: list[str]
) -> None:
    run = replace(log(50, scores), total_epochs=total_epochs)
    verdict, alerts = judge_run(run, [], is_over=is_over)
    assert verdict == "zero_score"
    assert [each.kind for each in alerts] == found
