"""Plain text logs: whatever prints `key: value`, `key=value` or `loss 0.5` line after line.

Lines are grouped by shape, the line without its digits (`text_groups`); one line of a shape is studied (`text_shape`),
the others are read by position. What counts as a value: anything in lines that say how far the run is (`Epoch 3`,
`iter 200`, `[3/10]`), and losses and scores in other lines that come again and again once training has begun. Configs
and environment reports before it, prose and file names therefore are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sdpose.monitor.readers.files import LogText
from sdpose.monitor.readers.log import Integers
from sdpose.monitor.readers.records import Column, LogParts, Records, facts_in_text, mode_of
from sdpose.monitor.readers.text_groups import Group, read_groups
from sdpose.monitor.readers.text_lines import Line, coco_scores, visible_lines
from sdpose.monitor.readers.text_places import last_epochs, last_steps, place_groups
from sdpose.monitor.readers.text_shape import is_metric_name, speaks_of_validation
from sdpose.monitor.readers.text_tables import name_columns
from sdpose.monitor.roles import words_of

FORMAT = "text_log"
_CONFIG_CHARS = 200_000
_ENOUGH_TIMES = 3
_FEWEST_LINES = 2
_LONGEST_HEADING = 80


def read(text: LogText) -> LogParts:
    """One file."""
    lines = name_columns(visible_lines(text.lines))
    parts = LogParts(format=FORMAT, num_rows=max(number for number, _ in lines), notes=list(text.notes))
    groups = read_groups(lines)
    placed = [group for group in groups if group.shape.is_placed and _is_progress(group)]
    begin = min((int(group.rows[0]) for group in placed), default=0)
    place_groups(placed)
    parts.records += [_records(group) for group in placed if group.values]
    times = _times(groups)
    evaluations = _evaluation_headings(lines, placed)
    for group in groups:
        if not group.shape.is_placed:
            parts.records += _loose_records(group, placed, begin, times, evaluations)
    parts.records += _coco_records(lines, placed)
    if sum(len(group.rows) for group in parts.records) < _FEWEST_LINES:
        # A single line is an example in somebody's notes rather than a training.
        parts.records = []
    head = "\n".join(line for number, line in lines if not begin or number < begin)[:_CONFIG_CHARS]
    parts.facts.update(facts_in_text(head))
    totals = Counter(float(total) for group in placed for total in group.epoch_totals if np.isfinite(total))
    parts.total_epochs = int(totals.most_common(1)[0][0]) if totals else parts.facts.get("total_epochs")
    return parts


def _is_progress(group: Group) -> bool:
    """A line with `epoch=100` in a printed config stands there once and measures nothing."""
    if group.values:
        return group.size > 1 or group.shape.has_metric
    return group.size > 1 or bool(np.isfinite(group.epoch_totals).any())


def _records(group: Group) -> Records:
    everywhere = np.ones(group.size, dtype=np.bool_)
    return Records(
        rows=group.rows,
        epochs=group.epochs,
        steps=group.counters,
        columns=[
            Column(name=name, mode=mode, values=values, present=everywhere)
            for name, mode, values in group.values
        ],
        places_run=not group.shape.val_line,
    )


def _times(groups: Sequence[Group]) -> Counter[str]:
    """How often each name stands in a line that does not say how far the run is."""
    times: Counter[str] = Counter()
    for group in groups:
        if not group.shape.is_placed:
            times.update({name: group.size for name, _, _ in group.values})
    return times


def _evaluation_headings(lines: Sequence[Line], placed: Sequence[Group]) -> Integers:
    """Rows of lines like `Start testing`: what follows them, up to the next line of training, is of an evaluation."""
    if not placed:
        return np.empty(0, dtype=np.int64)
    taken = {row for group in placed for row in group.rows.tolist()}
    return np.array(
        [
            number
            for number, line in lines
            if len(line) < _LONGEST_HEADING and number not in taken and speaks_of_validation(line)
        ],
        dtype=np.int64,
    )


def _loose_records(
    group: Group, placed: Sequence[Group], begin: int, times: Counter[str], evaluations: Integers
) -> list[Records]:
    """Losses and scores of lines without a place: they belong to the place above them."""
    enough = _ENOUGH_TIMES - bool(placed)
    chosen = [
        value
        for value in group.values
        if times[value[0]] >= enough and (is_metric_name(value[0]) or _is_lr(value[0]))
    ]
    keep = group.rows >= begin
    if not chosen or not keep.any():
        return []
    rows = group.rows[keep]
    training = [other for other in placed if not other.shape.val_line]
    steps = last_steps([other for other in training if other.shape.step is not None], rows)
    if len(np.unique(steps)) < 0.5 * len(steps):
        steps = np.full(len(rows), np.nan)
    epochs = last_epochs(placed, rows)
    evaluated = _last_row(evaluations, rows) > _last_row(_rows_of(training), rows)
    records = []
    for val, of_kind in ((False, ~evaluated), (True, evaluated)):
        if of_kind.any():
            everywhere = np.ones(int(of_kind.sum()), dtype=np.bool_)
            columns = [
                Column(
                    name=name,
                    mode=mode_of(name, "val" if val else mode),
                    values=values[keep][of_kind],
                    present=everywhere,
                )
                for name, mode, values in chosen
            ]
            placing = not val and (not placed or _headed(placed))
            records.append(
                Records(
                    rows=rows[of_kind],
                    epochs=epochs[of_kind],
                    steps=steps[of_kind],
                    columns=columns,
                    places_run=placing,
                )
            )
    return records


def _rows_of(groups: Sequence[Group]) -> Integers:
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(group.rows for group in groups)]))


def _last_row(marks: Integers, rows: Integers) -> Integers:
    """Of each row, the last of the sorted `marks` above it; 0 where there is none."""
    if not len(marks):
        return np.zeros(len(rows), dtype=np.int64)
    before = np.searchsorted(marks, rows, side="left") - 1
    return np.where(before >= 0, marks[np.maximum(before, 0)], 0)


def _headed(placed: Sequence[Group]) -> bool:
    """Whether places stand in headings only, as Keras writes them."""
    return all(not group.values for group in placed)


def _is_lr(name: str) -> bool:
    return words_of(name)[-1:] == ["lr"] or words_of(name)[-2:] == ["learning", "rate"]


def _coco_records(lines: Sequence[Line], placed: Sequence[Group]) -> list[Records]:
    found: dict[str, list[tuple[int, float]]] = {}
    for number, name, value in coco_scores(lines):
        found.setdefault(name, []).append((number, value))
    training = [group for group in placed if not group.shape.val_line and group.shape.step is not None]
    records = []
    for name, entries in found.items():
        rows = np.array([number for number, _ in entries], dtype=np.int64)
        values = np.array([value for _, value in entries])
        column = Column(name=name, mode="val", values=values, present=np.ones(len(rows), dtype=np.bool_))
        epochs, steps = last_epochs(placed, rows), last_steps(training, rows)
        records.append(Records(rows=rows, epochs=epochs, steps=steps, columns=[column], places_run=False))
    return records
