"""Judges all cases of a set with every rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_corpus.corpus_file import CorpusRun, Half, read_corpus
from benchmarks.scores.cases import Alarm, Outcome, Truth, gravest
from benchmarks.scores.corpus import curves_of, is_refused, truth_of, watch
from benchmarks.scores.peers import PEERS, Curves
from benchmarks.scores.real_logs import judge_log, labelled_logs

OURS = "ours"
Outcomes = dict[str, list[Outcome]]
"""By rule."""


@dataclass(frozen=True)
class RealScores:
    """Set (a)."""

    outcomes: Outcomes
    skipped: str | None = None
    """Why there are none."""


@dataclass(frozen=True)
class CorpusScores:
    """Set (b)."""

    outcomes: dict[Half, Outcomes]
    refused: tuple[CorpusRun, ...]
    """Faults that the run itself refused or named, without an alarm being possible."""


def score_real_logs(folder: Path, parts: Sequence[str] = ()) -> RealScores:
    """Every labelled log, or those whose name contains one of `parts`."""
    if not (folder / "labels.json").is_file():
        return RealScores({}, f"there is no labels.json in {folder}")
    outcomes = _empty()
    for entry in labelled_logs(folder):
        if parts and not any(text in str(entry.path) for text in parts):
            continue
        outcome, curves = judge_log(entry)
        outcomes[OURS].append(outcome)
        _judge_by_peers(outcomes, outcome.truth, curves)
    if not outcomes[OURS]:
        return RealScores({}, f"no log of {folder} is called {' or '.join(parts)}")
    return RealScores(outcomes)


def score_corpus(folder: Path, parts: Sequence[str] = ()) -> CorpusScores:
    """Every recorded run, or those whose name contains one of `parts`."""
    halves: dict[Half, Outcomes] = {"tuning": _empty(), "reporting": _empty()}
    refused = []
    for run in read_corpus(folder):
        if parts and not any(text in run.header.name for text in parts):
            continue
        if is_refused(run):
            refused.append(run)
            continue
        outcomes = halves[run.header.half]
        outcomes[OURS].append(watch(run))
        _judge_by_peers(outcomes, truth_of(run), curves_of(run))
    return CorpusScores(halves, tuple(refused))


def _judge_by_peers(outcomes: Outcomes, truth: Truth, curves: Curves | None) -> None:
    for name, rule in PEERS.items():
        outcomes[name].append(judged(truth, rule, curves))


def judged(truth: Truth, rule: Callable[[Curves], list[Alarm]], curves: Curves | None) -> Outcome:
    """One rule on one run; a file that was not read gives nothing to look at."""
    alarms = tuple(rule(curves)) if curves is not None else ()
    return Outcome(truth=truth, alarms=alarms, verdict=gravest(alarms))


def _empty() -> Outcomes:
    return {OURS: [], **{name: [] for name in PEERS}}
