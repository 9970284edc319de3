"""Scores for people: tables in the terminal, a page of documentation, JSON for programs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.fault_corpus.corpus_file import Half
from benchmarks.fault_corpus.faults import FAULTS
from benchmarks.scores.cases import HEALTHY, Outcome
from benchmarks.scores.figures import Figures, KindFigures, figures, kind_figures, label_counts
from benchmarks.scores.run import OURS, CorpusScores, Outcomes, RealScores

Row = list[str]
RULE_HEAD = ["rule", "F1", "precision", "recall", "macro-F1", "false alarms", "healthy alarmed"]
KIND_HEAD = [
    "kind",
    "runs",
    "precision",
    "recall",
    "other fault",
    "healthy",
    "healthy info",
    "false alarms",
    "delay",
]
FAULT_HEAD = ["fault", "found", "fitting kind", "delay", "first alarm of each run"]


def show_real_logs(console: Console, scores: RealScores) -> None:
    """Set (a)."""
    console.print("\n[bold]Real logs of other people[/bold]")
    if scores.skipped:
        console.print(f"skipped: {scores.skipped}")
        return
    console.print(described(scores.outcomes[OURS]))
    console.print(_table([*RULE_HEAD, "in place", "failed"], real_rows(scores.outcomes)))


def show_corpus(console: Console, scores: CorpusScores, halves: Sequence[Half]) -> None:
    """Set (b), half by half."""
    for half in halves:
        outcomes = scores.outcomes[half]
        console.print(f"\n[bold]Fault corpus, {half} half[/bold] (seeds {_seeds(half)})")
        if not outcomes[OURS]:
            console.print("no recorded runs")
            continue
        console.print(described(outcomes[OURS]))
        console.print(
            _table([*RULE_HEAD, "fitting kind", "before fault", "delay", "failed"], corpus_rows(outcomes))
        )
        console.print(_table(KIND_HEAD, kind_rows(outcomes[OURS])))
        console.print(_table(FAULT_HEAD, fault_rows(outcomes[OURS])))
    if scores.refused:
        console.print(f"Named by the run itself: {', '.join(refused_lines(scores))}")


def show_misses(console: Console, logs: RealScores | None, corpus: CorpusScores | None, half: Half) -> None:
    """Each miss, each wrong label and each false alarm, of the half that may be looked at."""
    outcomes = list(logs.outcomes.get(OURS, ())) if logs else []
    outcomes += corpus.outcomes[half][OURS] if corpus else []
    console.print(f"\n[bold]What went wrong[/bold] (real logs, and the corpus's {half} half)")
    for outcome in outcomes:
        for line in complaints(outcome):
            console.print(f"  {outcome.truth.name}: {line}", soft_wrap=True)


def complaints(outcome: Outcome) -> list[str]:
    """What is wrong with one outcome; empty when nothing is."""
    truth = outcome.truth
    lines = ["FAILED " + " ".join(outcome.failed.split())] if outcome.failed else []
    lines += [
        f"FALSE {alarm.severity} {alarm.kind} at {alarm.place:g}"
        + (f" (the fault begins at {truth.planted_at:g})" if truth.is_faulty else "")
        for alarm in outcome.too_early
    ]
    if truth.is_faulty and not outcome.found:
        quiet = ", ".join(f"{alarm.kind} at {alarm.place:g}" for alarm in outcome.alarms) or "nothing"
        lines.append(f"MISSED {truth.fault} (planted at {truth.planted_at:g}; said: {quiet})")
    elif truth.is_faulty and truth.expected and not outcome.named:
        said = ", ".join(dict.fromkeys(alarm.kind for alarm in outcome.hits))
        lines.append(f"OTHER KIND {truth.fault}: {said}; fitting: {', '.join(truth.expected)}")
    if truth.verdicts and not outcome.verdict_is_right:
        lines.append(f"LABEL {outcome.verdict}; right: {' or '.join(truth.verdicts)}")
    if truth.window and truth.is_faulty and outcome.loud and not outcome.is_in_place:
        first = min(alarm.place for alarm in outcome.loud)
        lines.append(f"PLACE {first:g}; right: {truth.window[0]:g} to {truth.window[1]:g}")
    return lines


def real_rows(outcomes: Outcomes) -> list[Row]:
    rows = []
    for rule, mine in outcomes.items():
        told = figures(mine)
        rows.append([*_rule_row(rule, told), f"{told.in_place} of {told.num_faulty}", str(told.failed)])
    return rows


def corpus_rows(outcomes: Outcomes) -> list[Row]:
    rows = []
    for rule, mine in outcomes.items():
        told = figures(mine)
        named = _share(told.named) if rule == OURS else ""
        rows.append(
            [*_rule_row(rule, told), named, str(told.early_alarms), _number(told.delay), str(told.failed)]
        )
    return rows


def kind_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """One row for each kind that was raised or should have been."""
    return [
        [
            told.kind,
            str(told.runs_alarmed),
            _share(told.precision),
            _share(told.recall),
            str(told.misplaced),
            str(told.healthy_alarmed),
            str(told.healthy_informed),
            _share(told.false_alarms),
            _number(told.delay),
        ]
        for told in all_kind_figures(outcomes)
    ]


def all_kind_figures(outcomes: Sequence[Outcome]) -> list[KindFigures]:
    raised = {alarm.kind for outcome in outcomes for alarm in outcome.alarms}
    best = {outcome.truth.expected[0] for outcome in outcomes if outcome.truth.expected}
    return [kind_figures(kind, outcomes) for kind in sorted(raised | best)]


def fault_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """One row a fault."""
    rows = []
    for fault in FAULTS:
        mine = [outcome for outcome in outcomes if outcome.truth.fault == fault]
        if not mine:
            continue
        told = figures(mine)
        firsts = [_first(outcome) for outcome in mine]
        rows.append(
            [
                fault,
                f"{sum(outcome.found for outcome in mine)} of {len(mine)}",
                f"{sum(outcome.named for outcome in mine)} of {len(mine)}",
                _number(told.delay),
                "; ".join(dict.fromkeys(firsts)),
            ]
        )
    return rows


def refused_lines(scores: CorpusScores) -> list[str]:
    """Fault and in how many runs the run named it."""
    counts: dict[str, list[bool]] = {}
    for run in scores.refused:
        counts.setdefault(run.header.fault, []).append(run.header.ended.startswith("refused"))
    return [f"{fault} ({sum(named)} of {len(named)})" for fault, named in counts.items()]


def as_data(logs: RealScores | None, corpus: CorpusScores | None) -> dict[str, Any]:
    """Everything, for `--json`; NaN as null."""
    data: dict[str, Any] = {}
    if logs is not None:
        data["real_logs"] = (
            {"skipped": logs.skipped}
            if logs.skipped
            else {
                "rules": _rules_data(logs.outcomes),
                "runs": [_outcome_data(outcome) for outcome in logs.outcomes[OURS]],
            }
        )
    if corpus is not None:
        data["fault_corpus"] = {
            half: {
                "rules": _rules_data(outcomes),
                "kinds": [_plain(dataclasses.asdict(kind)) for kind in all_kind_figures(outcomes[OURS])],
                "runs": [_outcome_data(outcome) for outcome in outcomes[OURS]],
            }
            for half, outcomes in corpus.outcomes.items()
            if outcomes[OURS]
        }
        data["fault_corpus"]["named_by_the_run"] = {
            run.header.name: run.header.ended for run in corpus.refused
        }
    return data


def markdown(logs: RealScores | None, corpus: CorpusScores | None) -> str:
    """docs/monitor-scores.md."""
    from benchmarks.scores.page import page

    return page(logs, corpus)


def markdown_table(head: Sequence[str], rows: Iterable[Row]) -> str:
    """A table as GitHub shows it."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _rule_row(rule: str, told: Figures) -> Row:
    return [
        rule,
        _share(told.f1),
        _share(told.precision),
        _share(told.recall),
        _share(told.macro_f1),
        _share(told.false_alarms),
        f"{told.healthy_alarmed} of {told.num_healthy}",
    ]


def described(outcomes: Sequence[Outcome]) -> str:
    faulty = sum(outcome.truth.is_faulty for outcome in outcomes)
    records = sum(outcome.truth.num_records for outcome in outcomes)
    labels = ", ".join(f"{count} {label}" for label, count in sorted(label_counts(outcomes).items()))
    return f"{len(outcomes)} runs, {faulty} of them faulty, {records} records; by best label: {labels}"


def _seeds(half: Half) -> str:
    return "0, 1, 4, 5 ...: recipes cosine and step" if half == "tuning" else "2, 3, 6, 7 ...: fixed and poly"


def _first(outcome: Outcome) -> str:
    if not outcome.hits:
        return "-"
    return min(outcome.hits, key=lambda alarm: alarm.place).kind


def _table(head: Sequence[str], rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 or number == len(FAULT_HEAD) - 1 else "right")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == OURS else None)
    return table


def _rules_data(outcomes: Outcomes) -> dict[str, Any]:
    told = {rule: figures(mine) for rule, mine in outcomes.items()}
    return {rule: _plain({**dataclasses.asdict(mine), "f1": mine.f1}) for rule, mine in told.items()}


def _outcome_data(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.truth.name,
        "fault": outcome.truth.fault if outcome.truth.is_faulty else HEALTHY,
        "verdict": outcome.verdict,
        "right": list(outcome.truth.verdicts),
        "found": outcome.found,
        "complaints": complaints(outcome),
        "alarms": [
            {"kind": alarm.kind, "severity": alarm.severity, "place": alarm.place} for alarm in outcome.alarms
        ],
    }


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in data.items()
    }


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"
