"""Logs -> verdicts: one of seven labels, and the place where it began."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sdpose.monitor.judge import Diagnosis, diagnose
from sdpose.monitor.readers import Series, TrainingLog, read_log
from sdpose.monitor.robust import Floats


def series(name: str, values: Floats | list[float], *, mode: str = "train", every: int = 1) -> Series:
    """A series of which every `every`-th row of the file has a value."""
    array = np.asarray(values, dtype=np.float64)
    rows = np.arange(1, len(array) + 1) * every
    return Series(
        name=name,
        mode=mode,  # type: ignore[arg-type]
        values=array,
        steps=rows,
        epochs=rows / 10.0,
        rows=rows,
    )


def judged(*parts: Series, restarts: tuple[int, ...] = ()) -> Diagnosis:
    log = TrainingLog(path=Path("run"), format="test", series=parts, restarts=restarts)
    return diagnose(log, language="en")


def falling(size: int = 200, *, noise: float = 0.03, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(
        (0.2 + np.exp(-5 * np.linspace(0, 1, size))) * np.exp(rng.normal(size=size) * noise), dtype=np.float64
    )


def rising(size: int = 20, *, top: float = 0.7, seed: int = 1) -> Floats:
    rng = np.random.default_rng(seed)
    return np.asarray(
        top * (1 - np.exp(-5 * np.linspace(0.02, 1, size))) + rng.normal(size=size) * 0.005, dtype=np.float64
    )


def test_a_healthy_run() -> None:
    outcome = judged(
        series("loss", falling()),
        series("val_loss", 1.2 * falling(20, seed=2), mode="val", every=10),
        series("AP", rising(), mode="val", every=10),
    )
    assert (outcome.verdict, outcome.alerts) == ("healthy", ())
    assert outcome.curve is not None
    assert outcome.curve.name == "loss"


def test_nothing_at_all_is_healthy() -> None:
    assert judged().verdict == "healthy"
    assert judged(series("lr", [0.1, 0.1])).verdict == "healthy"
    assert judged(series("loss", [0.5])).verdict == "healthy"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "train/box_loss", "val_loss"])
def test_a_value_that_is_not_finite(name: str, value: float) -> None:
    curve = falling()
    curve[120:] = value
    outcome = judged(series(name, curve), series("other_loss", falling(seed=3)))
    assert outcome.verdict == "nan"
    assert [(alert.kind, alert.severity, alert.iteration) for alert in outcome.alerts] == [
        ("non_finite", "critical", 121)
    ]
    assert outcome.rows == (121,)


def test_what_follows_the_first_nan_says_nothing_new() -> None:
    curve, broken = falling(), falling(seed=3)
    curve[150] *= 8
    broken[120:] = math.nan
    outcome = judged(series("loss", curve), series("box_loss", broken))
    assert [alert.kind for alert in outcome.alerts] == ["non_finite"]


def test_a_score_that_is_not_finite_is_no_fault_of_training() -> None:
    scores = rising()
    scores[3] = math.nan
    assert (
        judged(series("loss", falling()), series("AP (M)", scores, mode="val", every=10)).verdict == "healthy"
    )


def test_mixed_precision_that_gave_up() -> None:
    loss, norm = falling(50), np.ones(50)
    loss[30:], norm[30:] = 0.0, math.nan
    assert judged(series("loss", loss), series("grad_norm", norm)).verdict == "nan"
    # A scaler that looks for its scale skips steps; the loss goes on.
    assert judged(series("loss", falling(50)), series("grad_norm", norm)).verdict == "healthy"
    norm = np.ones(50)
    norm[[3, 9]] = math.inf
    assert judged(series("loss", falling(50)), series("grad_norm", norm)).verdict == "healthy"


def test_a_spike_that_recovered_is_said_once() -> None:
    curve = falling()
    curve[100] *= 6
    curve[150] *= 4
    outcome = judged(series("loss", curve))
    assert outcome.verdict == "spike"
    assert [(alert.severity, alert.iteration) for alert in outcome.alerts] == [
        ("warning", 101),
        ("info", 151),
    ]


def test_divergence_is_placed_where_it_left() -> None:
    curve = falling()
    curve[140:] *= 8
    outcome = judged(series("loss", curve))
    assert outcome.verdict == "diverged"
    assert [(alert.kind, alert.iteration) for alert in outcome.alerts] == [("divergence", 141)]


def test_a_loss_may_rise_with_the_learning_rate_or_under_a_rising_score() -> None:
    warmup = np.linspace(0.05, 1.2, 60)
    curve = np.concatenate([warmup, 1.2 * falling(140) / falling(1)[0]])
    lr = np.concatenate([np.linspace(1e-6, 1e-3, 60), np.full(140, 1e-3)])
    assert judged(series("loss", curve), series("lr", lr)).verdict == "healthy"
    curve = np.linspace(0.5, 1.5, 200)
    assert judged(series("loss", curve), series("AP", rising(), mode="val", every=10)).verdict == "healthy"
    assert judged(series("loss", curve)).verdict == "diverged"


@pytest.mark.parametrize("level", [1e-3, 2.3, 85.9])
def test_no_learning(level: float) -> None:
    rng = np.random.default_rng(4)
    curve = level * np.exp(rng.normal(size=60) * 0.02)
    assert judged(series("train_loss", curve)).verdict == "no_learning"
    # The late piece of a run whose epochs say that most of it was before.
    late = series("train_loss", curve)
    late = Series(
        name=late.name,
        mode="train",
        values=late.values,
        steps=late.steps,
        epochs=late.epochs + 350,
        rows=late.rows,
    )
    assert judged(late).verdict == "healthy"


def test_who_went_on_from_good_weights_need_not_fall() -> None:
    rng = np.random.default_rng(8)
    flat = series("loss", 0.005 * np.exp(rng.normal(size=60) * 0.05))
    assert judged(flat, series("AP", np.full(6, 0.64), mode="val", every=10)).verdict == "healthy"
    assert judged(flat, series("AP", [0.02, 0.03, 0.02, 0.03], mode="val", every=10)).verdict == "no_learning"


@pytest.mark.parametrize(
    ("scores", "verdict"), [([0.2137] * 4, "no_learning"), ([0.2137, 0.2138, 0.2137, 0.2136], "healthy")]
)
def test_the_same_answer_in_every_evaluation_makes_few_losses_enough(
    scores: list[float], verdict: str
) -> None:
    loss = series("loss", [2.3, 2.35, 2.28, 2.33, 2.31, 2.32])
    assert judged(loss, series("accuracy", scores, mode="val")).verdict == verdict


def test_a_score_of_zero() -> None:
    zeros = series("metrics/mAP50-95(P)", np.zeros(20), mode="val", every=10)
    assert judged(series("loss", falling()), zeros).verdict == "metric_collapse"
    flat = series("loss", np.linspace(11.9, 11.7, 200))
    assert judged(flat, zeros).verdict == "no_learning"
    begins = series("AP", np.concatenate([np.zeros(6), rising(14)]), mode="val", every=10)
    assert judged(series("loss", falling()), begins).verdict == "healthy"


@pytest.mark.parametrize(
    ("total_epochs", "verdict"), [(30, "metric_collapse"), (31, "healthy"), (None, "healthy")]
)
def test_a_short_run_that_is_over_at_zero(total_epochs: int | None, verdict: str) -> None:
    zero = series("AP", [0.0], mode="val", every=30)
    zero = dataclasses.replace(zero, epochs=np.array([30.0]))
    log = TrainingLog(path=Path("x"), format="sdpose", series=(zero,), total_epochs=total_epochs)
    outcome = diagnose(log, language="en")
    assert outcome.verdict == verdict
    assert "In each of" not in "".join(alert.message for alert in outcome.alerts)


def test_a_score_that_collapses() -> None:
    scores = rising()
    scores[14:] = 0.01
    outcome = judged(series("loss", falling()), series("AP", scores, mode="val", every=10))
    assert outcome.verdict == "metric_collapse"
    assert [alert.iteration for alert in outcome.alerts] == [150]
    assert outcome.curve is not None
    assert outcome.curve.name == "AP"


def test_overfitting_and_the_sinking_score_that_goes_with_it() -> None:
    val = np.concatenate([1.2 * falling(8, seed=5), np.linspace(0.5, 1.6, 12)])
    # Low enough for a collapse, which would be the graver verdict.
    scores = np.concatenate([rising(8), np.linspace(0.65, 0.12, 12)])
    outcome = judged(
        series("loss", falling() - 0.15),
        series("val_loss", val, mode="val", every=10),
        series("AP", scores, mode="val", every=10),
    )
    assert outcome.verdict == "overfit"


def test_adversaries_need_not_fall() -> None:
    rng = np.random.default_rng(6)
    wild = [series(name, 1 + rng.random(100)) for name in ("D_loss", "G_loss")]
    assert judged(*wild).verdict == "healthy"


def test_two_runs_in_a_file_are_judged_one_by_one() -> None:
    both = np.concatenate([falling(100), falling(100, seed=7)])
    assert judged(series("loss", both), restarts=(101,)).verdict == "healthy"
    broken = both.copy()
    broken[150:] = math.nan
    assert judged(series("loss", broken), restarts=(101,)).verdict == "nan"


def test_real_logs_of_other_people(shared: Path) -> None:
    logs = shared / "data" / "logs"
    labels = json.loads((logs / "labels.json").read_text(encoding="utf-8"))
    assert len(labels) >= 16
    found = {
        entry["file"]: diagnose(read_log(logs / entry["file"]), language="ko").verdict for entry in labels
    }
    spelled = {"spike_recovered": "spike"}
    assert found == {entry["file"]: spelled.get(entry["label"], entry["label"]) for entry in labels}
