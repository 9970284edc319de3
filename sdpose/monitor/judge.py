"""A verdict on a whole log: what went wrong, where it began, and what to do.

The same faults that the live detectors know (`patterns/`), asked about a finished or growing log of any trainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from sdpose.monitor.alert import Alert, Severity
from sdpose.monitor.diagnosis import explain
from sdpose.monitor.finding import Finding
from sdpose.monitor.hooks import RunFacts
from sdpose.monitor.log_roles import LogRoles, assign_roles, rows_between
from sdpose.monitor.patterns.collapse import find_collapse, find_passing_collapse, is_zero
from sdpose.monitor.patterns.divergence import find_divergence
from sdpose.monitor.patterns.no_learning import FEW, find_no_learning
from sdpose.monitor.patterns.overfitting import find_overfitting
from sdpose.monitor.patterns.spike import find_spikes
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.robust import Floats, noise, smooth, trend
from sdpose.monitor.roles import words_of

Verdict = Literal["nan", "diverged", "metric_collapse", "no_learning", "overfit", "spike", "healthy"]

# The gravest first.
_VERDICTS: dict[str, Verdict] = {
    "non_finite": "nan",
    "divergence": "diverged",
    "metric_collapse": "metric_collapse",
    "metric_zero": "metric_collapse",
    "no_learning": "no_learning",
    "overfitting": "overfit",
    "loss_spike": "spike",
}
# Longer curves are judged by the means of blocks; only jumps and NaN are looked for value by value.
MAX_POINTS = 400
# After a warm-up, before anything is said about learning.
FEW_POINTS = 8
# A score that is the same in so many evaluations, to the last digit, is a constant answer.
FROZEN = 4
LEARNT_AP = 0.3
# A share of the loss that is next to nothing while the score is zero.
HARDLY = 0.05
# Of a run that goes on.
ZERO_EVALUATIONS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is wrong with one log."""

    verdict: Verdict
    alerts: tuple[Alert, ...]
    """By place in the log."""
    rows: tuple[int, ...]
    """Of each alert, its row in the file."""
    curve: Series | None
    """The one to look at."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Hit:
    """A fault at a point of a series."""

    kind: str
    severity: Severity
    series: Series
    index: int
    evidence: dict[str, Any]

    def finding(self) -> Finding:
        epoch = self.series.epochs[self.index]
        return Finding(
            kind=self.kind,
            severity=self.severity,
            epoch=int(epoch) if np.isfinite(epoch) else 0,
            iteration=int(self.series.steps[self.index]),
            metric=self.series.name,
            value=float(self.series.values[self.index]),
            evidence=self.evidence,
            time=0.0,
        )


def diagnose(log: TrainingLog, *, language: str) -> Diagnosis:
    """The verdict on a log, its alerts in `language` ("en" or "ko")."""
    hits: list[_Hit] = []
    curve = None
    for series in _runs(log):
        roles = assign_roles(series)
        curve = roles.train_loss or roles.val_loss or roles.score or curve
        hits += _hits(roles, last_epoch=log.total_epochs)
    hits.sort(key=lambda hit: int(hit.series.rows[hit.index]))
    hits = _heard(hits)
    kinds = {hit.kind for hit in hits if hit.severity != "info"}
    verdict: Verdict = next((label for kind, label in _VERDICTS.items() if kind in kinds), "healthy")
    gravest = next((hit.series for hit in hits if _VERDICTS.get(hit.kind) == verdict), curve)
    return Diagnosis(
        verdict=verdict,
        alerts=tuple(explain(hit.finding(), RunFacts(), language) for hit in hits),
        rows=tuple(int(hit.series.rows[hit.index]) for hit in hits),
        curve=gravest,
        notes=log.notes,
    )


def _heard(hits: list[_Hit]) -> list[_Hit]:
    """A score that sinks while validation losses rise is overfitting; one that drops to nothing is not."""
    if any(hit.kind == "overfitting" for hit in hits):
        hits = [
            hit
            for hit in hits
            if hit.kind != "metric_collapse" or hit.evidence["current"] < 0.1 * hit.evidence["best"]
        ]
    return hits


def _runs(log: TrainingLog) -> Iterator[Sequence[Series]]:
    """The series of each run in the file: one, unless its counting starts again."""
    edges = [0, *log.restarts, np.iinfo(np.int64).max]
    for first, end in pairwise(edges):
        inside = [_cut(series, (series.rows >= first) & (series.rows < end)) for series in log.series]
        yield [series for series in inside if len(series.values)]


def _cut(series: Series, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Series:
    if keep.all():
        return series
    return Series(
        name=series.name,
        mode=series.mode,
        values=series.values[keep],
        steps=series.steps[keep],
        epochs=series.epochs[keep],
        rows=series.rows[keep],
    )


def _hits(roles: LogRoles, *, last_epoch: int | None) -> list[_Hit]:
    """All faults of one run, with what speaks against one of them heard."""
    broken = _non_finite(roles)
    loss = roles.train_loss or roles.val_loss
    score = _finite(roles.score) if roles.score is not None else None
    hits = [broken] if broken else []
    if loss is not None:
        whole = _finite(loss)
        if broken is not None:
            # What follows the first NaN says nothing new.
            whole = _cut(whole, whole.rows < broken.series.rows[broken.index])
        if not roles.adversarial:
            hits += _spikes(whole)
        if broken is None and not roles.adversarial:
            hits += _loss_faults(roles, whole, score)
    if score is not None and broken is None:
        hits += _score_faults(roles, score, last_epoch=last_epoch)
    return hits


def _non_finite(roles: LogRoles) -> _Hit | None:
    firsts = [
        (series, int(np.flatnonzero(~np.isfinite(series.values))[0]))
        for series in roles.losses
        if not np.isfinite(series.values).all()
    ]
    norm = roles.grad_norm
    if not firsts and norm is not None and roles.train_loss is not None:
        # Mixed precision whose scaler gives up logs a loss of 0.0 and gradients that are not finite, to the end.
        bad = ~np.isfinite(norm.values)
        if bad[-3:].all() and len(bad) >= 3 and not roles.train_loss.values[-3:].any():
            firsts = [(norm, int(np.flatnonzero(~bad)[-1]) + 1 if not bad.all() else 0)]
    if not firsts:
        return None
    series, index = min(firsts, key=lambda first: int(first[0].rows[first[1]]))
    row = series.rows[index]
    values = {}
    for other, place in firsts:
        if other.rows[place] == row:
            values[other.name] = float(other.values[place])
    evidence: dict[str, Any] = {"mode": series.mode, "values": values, "finite": []}
    return _Hit("non_finite", "critical", series, index, evidence)


def _spikes(loss: Series) -> list[_Hit]:
    """Jumps; after the first only those that are larger, for the nature of a curve is said once."""
    hits: list[_Hit] = []
    largest = 0.0
    for spike in find_spikes(loss.values):
        severity: Severity = "warning" if spike.ratio > 1.5 * largest else "info"
        largest = max(largest, spike.ratio)
        evidence = {
            "current": spike.current,
            "recent_average": spike.recent_average,
            "ratio": spike.ratio,
            "loss_spike_threshold": 2.0,
            "first_iteration": int(loss.steps[spike.index]),
        }
        hits.append(_Hit("loss_spike", severity, loss, spike.index, evidence))
    return hits


def _loss_faults(roles: LogRoles, whole: Series, score: Series | None) -> Iterator[_Hit]:
    improving = score is not None and _ends_near_best(score.values)
    # While the learning rate still rises, many losses do too.
    settled = _cut(whole, whole.rows >= roles.warmup_end)
    blocks, starts = condense(settled, MAX_POINTS)
    divergence = find_divergence(blocks)
    if divergence is not None and not improving:
        evidence = {
            "current": divergence.current,
            "best": divergence.best,
            "best_iteration": int(settled.steps[starts[divergence.best_index]]),
            "ratio": divergence.ratio,
            "first_iteration": int(settled.steps[starts[divergence.index]]),
        }
        yield _Hit("divergence", "critical", settled, int(starts[divergence.index]), evidence)
    blocks, _ = condense(whole, MAX_POINTS)
    young = len(settled.values) > 3 and not _begins_late(whole)
    frozen = score is not None and len(score.values) >= FROZEN and float(np.ptp(score.values)) == 0.0
    stuck = (
        find_no_learning(blocks, at_least=FROZEN if frozen else FEW_POINTS, few=0 if frozen else FEW)
        if young
        else None
    )
    learnt = score is not None and (
        trend(score.values) > 2.0
        or (improving and _fraction(score.values[-3:]) > 0.7)
        or _good_precision(score)
    )
    if stuck is not None and divergence is None and not learnt:
        evidence = {
            "first": stuck.first,
            "last": stuck.last,
            "change": stuck.change,
            "spread": stuck.spread,
            "num_points": stuck.num_points,
            "plateau": False,
        }
        yield _Hit("no_learning", "critical", whole, 0, evidence)
    for train, val in roles.pairs:
        val = _finite(val)
        overfitting = find_overfitting(rows_between(train, val.rows), val.values)
        if overfitting is not None:
            evidence = {
                "best": overfitting.best,
                "best_epoch": float(val.epochs[overfitting.index]),
                "current": overfitting.current,
                "train_first": overfitting.train_first,
                "train_last": overfitting.train_last,
                "rise": overfitting.rise,
            }
            yield _Hit("overfitting", "warning", val, overfitting.index, evidence)
            break


def _score_faults(roles: LogRoles, score: Series, *, last_epoch: int | None) -> Iterator[_Hit]:
    # A young run may still begin; one that is over has not.
    is_over = last_epoch is not None and bool(len(score.values)) and score.epochs[-1] >= last_epoch
    if is_zero(score.values, at_least=1 if is_over else ZERO_EVALUATIONS):
        evidence: dict[str, Any] = {
            "current": float(score.values[-1]),
            "num_evaluations": len(score.values),
            "first_epoch": float(score.epochs[0]),
        }
        stuck = _hardly_falls(roles)
        if stuck is None:
            yield _Hit("metric_zero", "critical", score, 0, evidence)
        else:
            yield _Hit("no_learning", "critical", *stuck)
        return
    collapse = find_collapse(score.values) or find_passing_collapse(score.values)
    if collapse is not None:
        evidence = {
            "current": collapse.current,
            "best": collapse.best,
            "best_epoch": float(score.epochs[collapse.best_index]),
            "num_evaluations": collapse.num_low,
        }
        yield _Hit("metric_collapse", "critical", score, collapse.index, evidence)


def _hardly_falls(roles: LogRoles) -> tuple[Series, int, dict[str, Any]] | None:
    """Under a score of zero: the largest term of the training loss, when it fell by next to nothing."""
    loss = roles.pairs[-1][0] if roles.pairs else roles.train_loss
    if loss is None or len(loss.values) < FEW_POINTS:
        return None
    loss = _finite(loss)
    first, last = float(np.median(loss.values[:3])), float(np.median(loss.values[-3:]))
    change = (first - last) / max(abs(first), 1e-300)
    if change > HARDLY:
        return None
    spread = noise(loss.values)
    evidence = {
        "first": first,
        "last": last,
        "change": change,
        "spread": spread,
        "num_points": len(loss.values),
    }
    return loss, 0, {**evidence, "plateau": False}


def _begins_late(loss: Series) -> bool:
    """Whether the log is a late piece of a run: what it had to learn it may have learnt before."""
    first, last = float(loss.epochs[0]), float(loss.epochs[-1])
    return first >= 5 and first > 3 * (last - first + 1)


def _ends_near_best(scores: Floats) -> bool:
    if len(scores) < 2:
        return False
    held = smooth(scores, 3)
    return bool(np.median(scores[-3:]) >= 0.85 * held.max()) and bool(scores.max() > scores[0])


def _good_precision(score: Series) -> bool:
    """Whether a mean average precision, which has no level of chance, is one that must have been learnt."""
    is_precision = bool({"ap", "map"} & {word.rstrip("0123456789") for word in words_of(score.name)})
    return is_precision and _fraction(score.values[-3:]) > LEARNT_AP


def _fraction(scores: Floats) -> float:
    """Their median as a share of one, also where scores are in percent."""
    middle = float(np.median(scores))
    return middle / 100.0 if middle > 1.5 else middle


def _finite(series: Series) -> Series:
    return _cut(series, np.isfinite(series.values))


def condense(series: Series, max_points: int) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    """Block means of a series (n,), at most `max_points`, and the index at which each block starts."""
    size = len(series.values)
    block = max(1, -(-size // max_points))
    starts = np.arange(0, size, block)
    if block == 1:
        return series.values, starts
    sums = np.add.reduceat(series.values, starts)
    return sums / np.diff(np.append(starts, size)), starts
