"""The arithmetic: counts and shares of many outcomes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.scores.cases import HEALTHY, Outcome


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One rule over a set of runs."""

    num_runs: int
    num_faulty: int
    num_healthy: int
    precision: float
    """Of the runs that it called faulty (a healthy run, or a faulty one only before its fault, counts against it)."""
    recall: float
    """Of the faulty runs, found."""
    macro_f1: float
    """Over the labels that the runs really have."""
    named: float
    """Of the faulty runs, found with an alarm of a fitting kind; NaN where only labels are known."""
    false_alarms: float
    """Per 1,000 records of healthy runs."""
    healthy_alarmed: int
    early_alarms: int
    """In faulty runs before the fault."""
    delay: float
    """Median, in iterations; NaN where unknown."""
    in_place: int
    """Faulty runs whose first alarm stands where the fault shows."""
    failed: int
    """Runs that could not be judged."""

    @property
    def f1(self) -> float:
        """Of found or not."""
        return f1(self.precision, self.recall)


def figures(outcomes: Sequence[Outcome]) -> Figures:
    """Raises ValueError for none at all."""
    if not outcomes:
        raise ValueError("no outcomes to count")
    faulty = [outcome for outcome in outcomes if outcome.truth.is_faulty]
    healthy = [outcome for outcome in outcomes if not outcome.truth.is_faulty]
    found = sum(outcome.found for outcome in faulty)
    wrong = sum(bool(outcome.too_early) and not outcome.found for outcome in outcomes)
    records = sum(outcome.truth.num_records for outcome in healthy)
    delays = [outcome.delay for outcome in faulty if outcome.delay is not None]
    kinds_known = [outcome for outcome in faulty if outcome.truth.expected]
    return Figures(
        num_runs=len(outcomes),
        num_faulty=len(faulty),
        num_healthy=len(healthy),
        precision=share(found, found + wrong),
        recall=share(found, len(faulty)),
        macro_f1=macro_f1(outcomes),
        named=share(sum(outcome.named for outcome in kinds_known), len(kinds_known)),
        false_alarms=share(1000 * sum(len(outcome.too_early) for outcome in healthy), records),
        healthy_alarmed=sum(bool(outcome.too_early) for outcome in healthy),
        early_alarms=sum(len(outcome.too_early) for outcome in faulty),
        delay=statistics.median(delays) if delays else math.nan,
        in_place=sum(outcome.is_in_place for outcome in faulty),
        failed=sum(outcome.failed is not None for outcome in outcomes),
    )


def macro_f1(outcomes: Sequence[Outcome]) -> float:
    """Mean over labels of the F1 of "this run has this label"; each right label counts as much as "healthy".

    Where several labels are right, the one that was given is taken as the truth, or the best one if none was.
    """
    pairs = [
        (outcome.verdict if outcome.verdict_is_right else outcome.truth.verdicts[0], outcome.verdict)
        for outcome in outcomes
        if outcome.truth.verdicts
    ]
    labels = {truth for truth, _ in pairs}
    if not labels:
        return math.nan
    scores = []
    for label in labels:
        right = sum(truth == given == label for truth, given in pairs)
        called = sum(given == label for _, given in pairs)
        are = sum(truth == label for truth, _ in pairs)
        scores.append(2 * right / (called + are))
    return math.fsum(scores) / len(scores)


@dataclass(frozen=True, kw_only=True)
class KindFigures:
    """One kind of alert over a set of runs."""

    kind: str
    runs_alarmed: int
    precision: float
    """Of the runs in which it was raised, those where it fits the fault and came after it."""
    recall: float
    """Of the faults that it names best, found by it; NaN without any."""
    misplaced: int
    """Runs with another fault in which it was raised after the fault."""
    healthy_alarmed: int
    """Healthy runs in which it was raised at warning or above."""
    healthy_informed: int
    """Healthy runs in which it was raised at all."""
    false_alarms: float
    """Loud, per 1,000 records of healthy runs."""
    delay: float


def kind_figures(kind: str, outcomes: Sequence[Outcome]) -> KindFigures:
    """`kind` on its own, as if it were the only detector. Notes count as `Outcome.hits` counts them."""
    right = misplaced = alarmed = healthy_alarmed = healthy_informed = loud = records = 0
    best = best_found = 0
    delays = []
    for outcome in outcomes:
        truth = outcome.truth
        raised = [alarm for alarm in outcome.alarms if alarm.kind == kind]
        mine = [alarm for alarm in raised if alarm.severity != "info" or kind in truth.quiet]
        after = [alarm for alarm in mine if truth.is_faulty and alarm.place >= truth.planted_at]
        fits = kind in truth.expected
        alarmed += bool(mine)
        right += bool(after) and fits
        misplaced += bool(after) and not fits
        if truth.expected[:1] == (kind,):
            best += 1
            best_found += bool(after)
        if after and fits and not math.isinf(truth.planted_at):
            delays.append(min(alarm.place for alarm in after) - truth.planted_at)
        if not truth.is_faulty:
            records += truth.num_records
            loud += len(mine)
            healthy_alarmed += bool(mine)
            healthy_informed += bool(raised)
    return KindFigures(
        kind=kind,
        runs_alarmed=alarmed,
        precision=share(right, alarmed),
        recall=share(best_found, best),
        misplaced=misplaced,
        healthy_alarmed=healthy_alarmed,
        healthy_informed=healthy_informed,
        false_alarms=share(1000 * loud, records),
        delay=statistics.median(delays) if delays else math.nan,
    )


def f1(precision: float, recall: float) -> float:
    """Their harmonic mean; 0 when nothing was found."""
    if not recall or math.isnan(precision) or math.isnan(recall):
        return 0.0
    return 2 * precision * recall / (precision + recall)


def share(part: float, whole: float) -> float:
    """NaN of nothing."""
    return part / whole if whole else math.nan


def label_counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Runs by their best label, for the head of a table."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        label = outcome.truth.verdicts[0] if outcome.truth.verdicts else HEALTHY
        counts[label] = counts.get(label, 0) + 1
    return counts
