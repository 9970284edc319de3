"""Where the lines of a text log stand in the run: epochs from headings, steps from counters, evaluations between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sdpose.monitor.readers.log import Floats, Integers
from sdpose.monitor.readers.positions import carried_forward, steps_of_run
from sdpose.monitor.readers.text_groups import Group


def place_groups(placed: list[Group]) -> None:
    """Fill in epochs from the headings above, turn counters into steps of the run, and thin out evaluations."""
    if not placed:
        return
    rows = np.concatenate([group.rows for group in placed])
    order = np.argsort(rows, kind="stable")
    marks = carried_forward(np.concatenate([group.epochs for group in placed])[order])
    rows = rows[order]
    for group in placed:
        above = marks[np.searchsorted(rows, group.rows, side="right") - 1]
        group.epochs = np.where(np.isfinite(group.epochs), group.epochs, above)
    length: int | None = None
    kinds: dict[tuple[bool, bool], list[Group]] = {}
    for group in placed:
        if not group.shape.val_line and group.shape.step is not None:
            kinds.setdefault((group.shape.step_total is not None, group.shape.epoch is not None), []).append(
                group
            )
    for alike in kinds.values():
        length = _count_from_the_start(alike) or length
    _thin_evaluations(placed)
    training = [group for group in placed if not group.shape.val_line and group.shape.step is not None]
    for group in placed:
        if group.shape.val_line and (group.shape.step is None or group.shape.step_total is not None):
            last = last_steps(training, group.rows)
            group.counters = last if length is None else _epoch_ends(training, group.epochs, last, length)


def _epoch_ends(training: Sequence[Group], epochs: Floats, last: Floats, length: int) -> Floats:
    """The end of the epoch for evaluations there, which the last line of training falls short of by an interval."""
    counted = np.sort(np.concatenate([group.counters for group in training]))
    interval = float(np.median(np.diff(counted))) if len(counted) > 1 else 1.0
    began = min(float(np.nanmin(group.epochs, initial=np.inf)) for group in training)
    ends = (epochs + (began < 1)) * length
    return np.where((ends >= last) & (ends - last < interval), ends, last)


def _count_from_the_start(groups: Sequence[Group]) -> int | None:
    """Turn the counters of lines alike into steps; gives the length of an epoch if the lines tell it."""
    order = np.argsort(np.concatenate([group.rows for group in groups]), kind="stable")
    epochs = np.concatenate([group.epochs for group in groups])[order]
    counters = np.concatenate([group.counters for group in groups])[order]
    totals = np.concatenate([group.totals for group in groups])[order]
    length = None
    steps = steps_of_run(epochs, counters)
    lengths = Counter(totals[np.isfinite(totals)].tolist()).most_common(1)
    if lengths and (
        steps is not counters or (np.unique(epochs).size == 1 and counters.max() <= lengths[0][0])
    ):
        length = int(lengths[0][0])
        steps = steps_of_run(epochs, counters, epoch_length=length)
    placed = np.empty(len(steps))
    placed[order] = steps
    for group, part in zip(
        groups, np.split(placed, np.cumsum([group.size for group in groups])[:-1]), strict=True
    ):
        group.counters = part
    return length


def _thin_evaluations(placed: list[Group]) -> None:
    """Of an evaluation's lines `[1/8]`, `[2/8]` ... only the last: the others are on the way to it."""
    counted = [group for group in placed if group.shape.val_line and group.shape.step_total is not None]
    if not counted:
        return
    rows = np.concatenate([group.rows for group in counted])
    order = np.argsort(rows, kind="stable")
    counters = np.concatenate([group.counters for group in counted])[order]
    ends = np.append(counters[1:] <= counters[:-1], True)
    last = set(rows[order][ends].tolist())
    for group in counted:
        keep = np.array([row in last for row in group.rows.tolist()], dtype=np.bool_)
        group.rows, group.epochs, group.counters = group.rows[keep], group.epochs[keep], group.counters[keep]
        group.values = [(name, mode, values[keep]) for name, mode, values in group.values]


def last_steps(groups: Sequence[Group], rows: Integers) -> Floats:
    """The step of the last line above each row that has one; NaN where there is none."""
    return _last_above(rows, [(group.rows, group.counters) for group in groups if group.size])


def last_epochs(groups: Sequence[Group], rows: Integers) -> Floats:
    """The same of the epoch."""
    return _last_above(rows, [(group.rows, group.epochs) for group in groups if group.size])


def _last_above(rows: Integers, marks: Sequence[tuple[Integers, Floats]]) -> Floats:
    """Of values at their rows, the last finite one at or above each of `rows`; NaN where there is none."""
    if not marks:
        return np.full(len(rows), np.nan)
    places = np.concatenate([where for where, _ in marks])
    order = np.argsort(places, kind="stable")
    carried = carried_forward(np.concatenate([values for _, values in marks])[order])
    before = np.searchsorted(places[order], rows, side="right") - 1
    return np.where(before >= 0, carried[np.maximum(before, 0)], np.nan)
