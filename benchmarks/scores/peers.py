"""The rules that others use, written anew from how they are described, to be measured beside ours.

Each takes the curves of a run and gives its alarms. Rules that would end the run at the first alarm are let run on,
so that all alarms can be counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.scores.cases import Alarm

Curve = tuple[tuple[float, float], ...]
"""(place, value) in the order of the log."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What the rules look at."""

    loss: Curve
    """The training loss."""
    all_losses: tuple[Curve, ...]
    """Every loss and term, of training and validation."""
    metric: Curve
    """What is evaluated; empty where nothing is."""
    higher_is_better: bool = True
    iterations_per_value: int | None = None
    """1 where `loss` has every iteration; None where it has rows of a log, each some iterations' mean."""


def guide_hook(curves: Curves) -> list[Alarm]:
    """The guide's first TrainingMonitorHook: every 50 iterations (every row of a log), at least 2 times the mean of the
    last 5 checks; and an AP 0.05 below its best. NaN it leaves to `grep`.
    """
    alarms = []
    every = 50 if curves.iterations_per_value == 1 else 1
    history: deque[float] = deque(maxlen=5)
    for place, loss in curves.loss[every - 1 :: every]:
        if len(history) == 5 and loss >= 2.0 * (math.fsum(history) / 5) > 0:
            alarms.append(_alarm("guide spike", place, "spike"))
        history.append(loss)
    best = -math.inf
    for place, score in curves.metric if curves.higher_is_better else ():
        if best - score >= 0.05:
            alarms.append(_alarm("guide drop", place, "metric_collapse"))
        if score > best:
            best = score
    return alarms


def lightning(curves: Curves) -> list[Alarm]:
    """Lightning's SpikeDetection as it comes (window 10, warmup 1, rtol 2.0, finite_only).

    Worse than the loss before, and at least 2 running means above the running mean of 10; or not finite. A spike does
    not enter the mean.
    """
    alarms = []
    window: deque[float] = deque(maxlen=10)
    last = 0.0
    for number, (place, loss) in enumerate(curves.loss):
        if number >= 1 and not math.isfinite(loss):
            alarms.append(_alarm("lightning not finite", place, "nan"))
            continue
        mean = math.fsum(window) / len(window) if window else math.nan
        if number >= 1 and loss > last and abs(loss - mean) >= abs(2.0 * mean):
            alarms.append(_alarm("lightning spike", place, "spike"))
            continue
        if math.isfinite(loss):
            window.append(loss)
            last = loss
    return alarms


def llm_foundry(curves: Curves) -> list[Alarm]:
    """llm-foundry's KillLossSpike as it comes (window 100, multiplier 2, patience 4).

    Once 100 losses are there: five in a row at least twice their mean. Its cap on losses above 10 is meant for language
    models, whose loss is in nats, and is left out.
    """
    alarms = []
    window: deque[float] = deque(maxlen=100)
    outliers = 0
    for place, loss in curves.loss:
        if len(window) == 100:
            outliers = outliers + 1 if loss >= 2.0 * (sum(window) / 100) else 0
            if outliers == 5:
                alarms.append(_alarm("foundry spike", place, "spike"))
        window.append(loss)
    return alarms


def early_stopping(curves: Curves) -> list[Alarm]:
    """Patience 3, min_delta 0, on the evaluated metric: the third evaluation in a row without a new best; once a run.

    A metric that is not finite ends the run as well, as in Lightning's EarlyStopping.
    """
    best, waited = -math.inf, 0
    for place, value in curves.metric:
        if not math.isfinite(value):
            return [_alarm("early stopping", place, "nan")]
        score = value if curves.higher_is_better else -value
        if score > best:
            best, waited = score, 0
            continue
        waited += 1
        if waited == 3:
            return [_alarm("early stopping", place, "overfit")]
    return []


def nan_in_any_loss(curves: Curves) -> list[Alarm]:
    """The first value that is not finite in any loss; once a run."""
    places = [place for curve in curves.all_losses for place, value in curve if not math.isfinite(value)]
    return [_alarm("nan", min(places), "nan")] if places else []


def all_together(curves: Curves) -> list[Alarm]:
    """Whatever any of them says."""
    alarms = [alarm for rule in PEERS.values() if rule is not all_together for alarm in rule(curves)]
    return sorted(alarms, key=lambda alarm: alarm.place)


PEERS: Mapping[str, Callable[[Curves], list[Alarm]]] = {
    "the guide's original hook": guide_hook,
    "Lightning SpikeDetection": lightning,
    "llm-foundry loss spike": llm_foundry,
    "early stopping, patience 3": early_stopping,
    "NaN in any loss": nan_in_any_loss,
    "all of them together": all_together,
}


def _alarm(kind: str, place: float, verdict: str) -> Alarm:
    return Alarm(kind=kind, severity="warning", place=place, verdict=verdict)
