"""The curves of a run, with its alarms as marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sdpose.monitor.log_roles import assign_roles
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.roles import words_of
from sdpose.report.blocks import Block, Chart, Line, Mark, Paragraph
from sdpose.report.run_folder import RunFolder

_MOST_TERMS = 6
_SIGNS = ("heatmap_peak", "heatmap_max", "heatmap_flat", "kpt_token_std", "vis_token_std")


def charts(run: RunFolder, words: Callable[..., str]) -> list[Block]:
    """Losses, AP, learning rate, gradient norm, heatmaps and tokens, time, memory; those that the log has."""
    if run.log is None:
        return [Paragraph(words("no_curves"), "note")]
    log, marks = run.log, marks_of(run)
    losses = [each for each in log.series if each.mode == "train" and "loss" in words_of(each.name)]
    # The sum first: it has the first colour.
    losses.sort(key=lambda each: each.name != "loss")
    score = _score(log)
    named = [
        ("losses", [_line(each) for each in losses[:_MOST_TERMS]], True),
        ("ap" if score and score[0].low is not None else "score", score, False),
        ("acc_pose", _lines(log, ["acc_pose"]), False),
        ("lr", _lines(log, ["lr"]), False),
        ("grad_norm", _lines(log, ["grad_norm"]), True),
        ("health", _lines(log, _SIGNS), False),
        ("time", _lines(log, ["time", "data_time"]), True),
        ("memory", _lines(log, ["memory"]), False),
    ]
    drawn = [(name, lines, logarithmic) for name, lines, logarithmic in named if lines]
    # All over the same iterations: what happened at one place stands at one place.
    steps = [line.steps for _, lines, _ in drawn for line in lines if len(line.steps)]
    ends = [*(float(at) for each in steps for at in (each.min(), each.max())), *(mark.step for mark in marks)]
    first, last = (min(ends), max(ends)) if ends else (None, None)
    return [
        Chart(words(name), lines, marks, logarithmic=logarithmic, first=first, last=last)
        for name, lines, logarithmic in drawn
    ]


def marks_of(run: RunFolder) -> list[Mark]:
    """Alarms while training and those found afterwards, once each, and repairs."""
    marks = {
        Mark(alert.iteration, f"{alert.kind} @ {alert.iteration}", alert.severity): None
        for alert in (*run.alerts, *run.found)
        if alert.severity != "info"
    }
    return sorted(marks, key=lambda mark: (mark.step, mark.label))


def _score(log: TrainingLog) -> list[Line]:
    found = _find(log, "AP", "val") or assign_roles(log.series).score
    if found is None or found.mode != "val":
        return []
    low, high = _find(log, "AP_low", "val"), _find(log, "AP_high", "val")
    known = low is not None and high is not None and len(low.values) == len(high.values) == len(found.values)
    return [_line(found, low if known else None, high if known else None)]


def _lines(log: TrainingLog, names: Sequence[str]) -> list[Line]:
    found = [_find(log, name, "train") for name in names]
    return [_line(each) for each in found if each is not None]


def _find(log: TrainingLog, name: str, mode: str) -> Series | None:
    return next((each for each in log.series if each.name == name and each.mode == mode), None)


def _line(series: Series, low: Series | None = None, high: Series | None = None) -> Line:
    return Line(
        series.name,
        series.steps.astype(np.float64),
        series.values,
        low.values if low is not None else None,
        high.values if high is not None else None,
    )
