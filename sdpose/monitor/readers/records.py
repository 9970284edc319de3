"""From rows to series: what all readers share once they have rows with names, numbers and a place in the run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.monitor.readers.log import Floats, Integers, Mode, Series, TrainingLog, UnreadableLog
from sdpose.monitor.readers.numbers import Mask
from sdpose.monitor.readers.positions import carried_forward
from sdpose.monitor.roles import role_of

# COCO's way to say that there were no objects of this kind.
_COCO_SCORE = re.compile(r"(?:^|[/_ ])m?A[PR](?:$|[ @_(\d.]|[sml]$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One named value of a group of rows."""

    name: str
    mode: Mode
    values: Floats
    present: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Rows of one kind: where they stand in the file and in the run, and what they hold."""

    rows: Integers
    """(n,)"""
    epochs: Floats
    """(n,) NaN where unknown."""
    steps: Floats
    """(n,) NaN where unknown."""
    columns: Sequence[Column]
    places_run: bool = True
    """Whether their place tells how far the run is: the lines of an evaluation often count something else."""


@dataclass(slots=True, kw_only=True)
class LogParts:
    """What a reader hands over."""

    format: str
    num_rows: int
    records: list[Records] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    new_runs: list[int] = field(default_factory=list)
    """Rows that begin a run for a reason other than their place: a header that stands there again."""
    total_epochs: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def mode_of(name: str, row_mode: Mode = "train") -> Mode:
    """Which split a column belongs to, by its name, or else by its row."""
    return role_of(name, row_mode).split


@lru_cache(maxsize=4096)
def is_metric(name: str) -> bool:
    """Whether a name is that of a loss, a score or an error."""
    return role_of(name, "train").meaning in ("loss", "score", "error")


def holds_metrics(parts: LogParts) -> bool:
    """Whether a loss, a score or an error is among what was read; without one it was something else."""
    return any(is_metric(column.name) for group in parts.records for column in group.columns)


def assemble(path: Path, parts: LogParts) -> TrainingLog:
    """The log. Raises UnreadableLog when not one value was found."""
    notes = list(parts.notes)
    series = _series(parts.records, notes)
    if not series:
        raise UnreadableLog(
            f"{path}: no losses or scores in it ({parts.num_rows} lines read as {parts.format}); "
            "give the log that the training wrote"
        )
    return TrainingLog(
        path=path,
        format=parts.format,
        series=tuple(series),
        notes=tuple(notes),
        restarts=tuple(sorted({*_restarts(parts.records), *parts.new_runs})),
        num_rows=parts.num_rows,
        total_epochs=parts.total_epochs,
        facts=dict(parts.facts),
    )


def _series(records: Iterable[Records], notes: list[str]) -> list[Series]:
    pieces: dict[tuple[str, Mode], list[tuple[Floats, Integers, Floats, Floats]]] = {}
    num_coco = 0
    for group in records:
        for column in group.columns:
            keep = column.present
            if column.mode == "val" and _COCO_SCORE.search(column.name):
                nothing = keep & (column.values == -1.0)
                num_coco += int(nothing.sum())
                keep = keep & ~nothing
            if keep.any():
                piece = (column.values[keep], group.rows[keep], group.steps[keep], group.epochs[keep])
                pieces.setdefault((column.name, column.mode), []).append(piece)
    if num_coco:
        notes.append(f"{num_coco} scores of -1 left out: COCO's word for 'no such objects'")
    return [_join(name, mode, parts) for (name, mode), parts in pieces.items()]


def _join(name: str, mode: Mode, parts: Sequence[tuple[Floats, Integers, Floats, Floats]]) -> Series:
    values, rows, steps, epochs = (
        (np.concatenate(column) for column in zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    )
    if len(parts) > 1:
        order = np.argsort(rows, kind="stable")
        values, rows, steps, epochs = values[order], rows[order], steps[order], epochs[order]
    return Series(name=name, mode=mode, values=values, rows=rows, epochs=epochs, steps=_whole(steps))


def _whole(steps: Floats) -> Integers:
    """Steps as integers: 1, 2, 3 ... where a log counts none; that of the line before where one lacks its own."""
    known = np.isfinite(steps) & (np.abs(steps) < 2**62)
    if not known.any():
        return np.arange(1, len(steps) + 1)
    filled = carried_forward(np.where(known, steps, np.nan))
    return np.where(np.isfinite(filled), filled, 0.0).astype(np.int64)


def _restarts(records: Iterable[Records]) -> list[int]:
    """Rows at which the run went back and stayed there. A line or two out of order (several ranks) is none."""
    placed = [group for group in records if group.places_run and len(group.rows)]
    if not placed:
        return []
    rows = np.concatenate([group.rows for group in placed])
    order = np.argsort(rows, kind="stable")
    steps = np.concatenate([group.steps for group in placed])[order]
    epochs = np.concatenate([group.epochs for group in placed])[order]
    rows = rows[order]
    found: set[int] = set()
    # Either may be the one that goes back: rows without steps of their own are merely counted.
    for places, jitters in ((steps, True), (np.floor(epochs), False)):
        known = np.isfinite(places)
        if known.mean() > 0.5:
            found.update(rows[known][_falls(places[known], jitters=jitters)].tolist())
    return sorted(found)


def _falls(places: Floats, *, jitters: bool) -> list[int]:
    """Indices at which `places` (n,) goes back and stays back; by more than its jitter, if it may have some."""
    if len(places) < 2:
        return []
    changes = np.diff(places)
    rising = changes[changes > 0]
    jitter = float(np.median(rising)) if jitters and len(rising) else 0.0
    found = []
    for index in np.flatnonzero(changes < 0) + 1:
        before, now = places[index - 1], places[index]
        stays = index + 1 >= len(places) or places[index + 1] < before
        if stays and (before - now > 2 * jitter or now <= places[:index].min()):
            found.append(int(index))
    return found


def facts_in_text(text: str) -> dict[str, Any]:
    """Learning rate, batch size and length of a run, where a config in the text tells them."""
    facts: dict[str, Any] = {}
    for name, pattern in _FACTS.items():
        found = pattern.search(text)
        if found:
            number = float(found[1])
            facts[name] = number if name == "lr" else int(number)
    return facts


_NUMBER = r"[\"']?\s*[:=]\s*[\"']?(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\b"
_FACTS: Mapping[str, re.Pattern[str]] = {
    "lr": re.compile(r"\b(?:base_lr|lr0?|learning_rate)" + _NUMBER),
    "batch_size": re.compile(
        r"\b(?:samples_per_gpu|batch_size|train_batch_size|per_device_train_batch_size|batch)" + _NUMBER
    ),
    "total_epochs": re.compile(r"\b(?:max_epochs|total_epochs|num_train_epochs|num_epochs|epochs)" + _NUMBER),
    "seed": re.compile(r"(?:\b|_)seed" + _NUMBER),
}


def line_list(numbers: Sequence[int]) -> str:
    """`line 3`, or `lines 3, 7-9 and 12 more`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:5]]
    rest = sum(last - first + 1 for first, last in spans[5:])
    more = f" and {rest} more" if rest else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(shown)}{more}"
