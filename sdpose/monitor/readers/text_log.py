"""Plain text logs: whatever prints `key: value`, `key=value` or `loss 0.5` line after line.

Lines are grouped by shape (the line without its digits); one line of a shape is studied (`text_shape`), the others are
read by position. What counts as a value: anything in lines that say how far the run is (`Epoch 3`, `iter 200`,
`[3/10]`), and losses and scores in other lines that come again and again once training has begun. Configs and
environment reports before it, prose and file names therefore are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpose.monitor.readers.files import LogText
from sdpose.monitor.readers.log import Floats, Integers, Mode
from sdpose.monitor.readers.numbers import to_column, to_float
from sdpose.monitor.readers.positions import carried_forward, steps_of_run
from sdpose.monitor.readers.records import Column, LogParts, Records, facts_in_text
from sdpose.monitor.readers.text_lines import Line, coco_scores, visible_lines
from sdpose.monitor.readers.text_shape import Shape, is_metric_name, study
from sdpose.monitor.roles import words_of

FORMAT = "text_log"
# The exponent's letter goes too, so that 1e-05 and 0.1 make no difference.
_WITHOUT_DIGITS = str.maketrans("", "", "0123456789.+-eE \t")
_INTO_WORDS = str.maketrans(dict.fromkeys("\t:=,|()[]{}'\";/%<>", " "))
_MARK = "\x02"
_LINE_END = f" {_MARK} "
_LINES_AT_ONCE = 20_000
_LONGEST_LINE = 4000
_CONFIG_CHARS = 200_000
_ENOUGH_TIMES = 3


@dataclass(slots=True)
class Group:
    """All lines of one shape, read."""

    shape: Shape
    rows: Integers
    values: list[tuple[str, Mode, Floats]]
    epochs: Floats
    counters: Floats
    totals: Floats
    epoch_totals: Floats

    @property
    def size(self) -> int:
        return len(self.rows)


def read(text: LogText) -> LogParts:
    """One file."""
    lines = visible_lines(text.lines)
    parts = LogParts(format=FORMAT, num_rows=len(text.lines), notes=list(text.notes))
    groups = [group for alike in _by_shape(lines) for group in _read_group(alike)]
    placed = [group for group in groups if group.shape.is_placed and _is_progress(group)]
    begin = min((int(group.rows[0]) for group in placed), default=0)
    _place(placed)
    parts.records += [_records(group) for group in placed if group.values]
    times = _times(groups)
    for group in groups:
        if not group.shape.is_placed:
            parts.records += _loose_records(group, placed, begin, times)
    parts.records += _coco_records(lines, placed)
    head = "\n".join(line for number, line in lines if not begin or number < begin)[:_CONFIG_CHARS]
    parts.facts.update(facts_in_text(head))
    totals = Counter(float(total) for group in placed for total in group.epoch_totals if np.isfinite(total))
    parts.total_epochs = int(totals.most_common(1)[0][0]) if totals else parts.facts.get("total_epochs")
    return parts


def _by_shape(lines: Sequence[Line]) -> list[list[Line]]:
    shapes: dict[str, list[Line]] = {}
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = [line for line in lines[start : start + _LINES_AT_ONCE] if len(line[1]) <= _LONGEST_LINE]
        bare = "\n".join([line for _, line in some]).translate(_WITHOUT_DIGITS).split("\n")
        for shape, line in zip(bare, some, strict=True):
            shapes.setdefault(shape, []).append(line)
    return list(shapes.values())


def _read_group(lines: Sequence[Line]) -> list[Group]:
    """The lines of a shape as one group; those that do not fit it are studied on their own."""
    shape = None if "Average " in lines[0][1] and "@[" in lines[0][1] else study(lines[0][1])
    if shape is None:
        return []
    wanted = [(value.start, value.end) for value in shape.values]
    places = [
        span for span in (shape.epoch, shape.step, shape.step_total, shape.epoch_total) if span is not None
    ]
    found = [_word_at(lines[0][1], span) for span in wanted + places]
    indices = [index for index in found if index is not None]
    if len(indices) < len(found):
        return _one_by_one(lines)
    fitting, others, columns = _words(lines, [index for index, _ in indices])
    read = [_numbers(column, unit) for column, (_, unit) in zip(columns, indices, strict=True)]
    by_span = dict(zip(wanted + places, read, strict=True))
    unknown = np.full(len(fitting), np.nan)
    group = Group(
        shape=shape,
        rows=np.array(fitting, dtype=np.int64),
        values=[(value.name, value.mode, by_span[value.start, value.end]) for value in shape.values],
        epochs=by_span.get(shape.epoch or (-1, -1), unknown),
        counters=by_span.get(shape.step or (-1, -1), unknown),
        totals=by_span.get(shape.step_total or (-1, -1), unknown),
        epoch_totals=by_span.get(shape.epoch_total or (-1, -1), unknown),
    )
    return [group, *_one_by_one(others)]


def _words(lines: Sequence[Line], indices: Sequence[int]) -> tuple[list[int], list[Line], list[list[str]]]:
    """(numbers of the lines with as many words as the first, the other lines, the words at `indices` of the former)."""
    count = len(lines[0][1].translate(_INTO_WORDS).split())
    numbers: list[int] = []
    others: list[Line] = []
    columns: list[list[str]] = [[] for _ in indices]
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = lines[start : start + _LINES_AT_ONCE]
        words = _LINE_END.join([line for _, line in some]).translate(_INTO_WORDS).split()
        # A mark between lines: if every mark stands where it should, every line has its words.
        marks = words[count :: count + 1]
        if len(words) != len(some) * (count + 1) - 1 or marks.count(_MARK) != len(marks):
            split = [line.translate(_INTO_WORDS).split() for _, line in some]
            others += [line for line, found in zip(some, split, strict=True) if len(found) != count]
            some = [line for line, found in zip(some, split, strict=True) if len(found) == count]
            words = [word for found in split if len(found) == count for word in (*found, _MARK)]
        numbers += [number for number, _ in some]
        for column, index in zip(columns, indices, strict=True):
            column += words[index :: count + 1]
    return numbers, others, columns


def _word_at(line: str, span: tuple[int, int]) -> tuple[int, int] | None:
    """(index of the word that begins at a place, characters of a unit at its end); None when it begins elsewhere."""
    start, end = span
    spaced = line.translate(_INTO_WORDS)
    before = spaced[:start]
    if "," in line[start:end] or (before and not before[-1].isspace()):
        return None
    word_end = start + len(spaced[start:].split(None, 1)[0])
    return len(before.split()), word_end - end


def _numbers(words: Sequence[str], unit_length: int) -> Floats:
    values, present = to_column([word[:-unit_length] for word in words] if unit_length else words)
    return np.where(present, values, np.nan)


def _one_by_one(lines: Sequence[Line]) -> list[Group]:
    groups: dict[tuple[object, ...], list[tuple[int, Shape, list[float], list[float]]]] = {}
    for number, line in lines:
        shape = study(line)
        if shape is None:
            continue
        values = [_number(line, (value.start, value.end)) for value in shape.values]
        places = [
            _number(line, span) for span in (shape.epoch, shape.step, shape.step_total, shape.epoch_total)
        ]
        key = (*((value.name, value.mode) for value in shape.values), shape.is_placed, shape.val_line)
        groups.setdefault(key, []).append((number, shape, values, places))
    result = []
    for entries in groups.values():
        shape = entries[0][1]
        numbers = np.array([entry[2] for entry in entries], dtype=np.float64).reshape(len(entries), -1)
        placing = np.array([entry[3] for entry in entries], dtype=np.float64)
        result.append(
            Group(
                shape=shape,
                rows=np.array([entry[0] for entry in entries], dtype=np.int64),
                values=[
                    (value.name, value.mode, numbers[:, index]) for index, value in enumerate(shape.values)
                ],
                epochs=placing[:, 0],
                counters=placing[:, 1],
                totals=placing[:, 2],
                epoch_totals=placing[:, 3],
            )
        )
    return result


def _number(line: str, span: tuple[int, int] | None) -> float:
    number = to_float(line[span[0] : span[1]]) if span is not None else None
    return float("nan") if number is None else number


def _is_progress(group: Group) -> bool:
    """A line with `epoch=100` in a printed config stands there once and measures nothing."""
    if group.values:
        return group.size > 1 or group.shape.has_metric
    return group.size > 1 or bool(np.isfinite(group.epoch_totals).any())


def _place(placed: list[Group]) -> None:
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
    kinds: dict[tuple[bool, bool], list[Group]] = {}
    for group in placed:
        if not group.shape.val_line and group.shape.step is not None:
            kinds.setdefault((group.shape.step_total is not None, group.shape.epoch is not None), []).append(
                group
            )
    for alike in kinds.values():
        _count_from_the_start(alike)
    _thin_evaluations(placed)
    training = [group for group in placed if not group.shape.val_line and group.shape.step is not None]
    for group in placed:
        if group.shape.val_line and (group.shape.step is None or group.shape.step_total is not None):
            group.counters = _last_steps(training, group.rows)


def _count_from_the_start(groups: Sequence[Group]) -> None:
    order = np.argsort(np.concatenate([group.rows for group in groups]), kind="stable")
    epochs = np.concatenate([group.epochs for group in groups])[order]
    counters = np.concatenate([group.counters for group in groups])[order]
    totals = np.concatenate([group.totals for group in groups])[order]
    steps = steps_of_run(epochs, counters)
    lengths = Counter(totals[np.isfinite(totals)].tolist()).most_common(1)
    if lengths and (steps is not counters or np.unique(epochs).size == 1 and counters.max() <= lengths[0][0]):
        steps = steps_of_run(epochs, counters, epoch_length=int(lengths[0][0]))
    placed = np.empty(len(steps))
    placed[order] = steps
    for group, part in zip(
        groups, np.split(placed, np.cumsum([group.size for group in groups])[:-1]), strict=True
    ):
        group.counters = part


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


def _last_steps(groups: Sequence[Group], rows: Integers) -> Floats:
    """The step of the last line above each row that has one; NaN where there is none."""
    sized = [group for group in groups if group.size]
    if not sized:
        return np.full(len(rows), np.nan)
    places = np.concatenate([group.rows for group in sized])
    order = np.argsort(places, kind="stable")
    steps = carried_forward(np.concatenate([group.counters for group in sized])[order])
    before = np.searchsorted(places[order], rows, side="right") - 1
    return np.where(before >= 0, steps[np.maximum(before, 0)], np.nan)


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


def _loose_records(group: Group, placed: Sequence[Group], begin: int, times: Counter[str]) -> list[Records]:
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
    training = [other for other in placed if not other.shape.val_line and other.shape.step is not None]
    steps = _last_steps(training, rows)
    if len(np.unique(steps)) < 0.5 * len(steps):
        steps = np.full(len(rows), np.nan)
    epochs = _last_epochs(placed, rows)
    columns = [
        Column(name=name, mode=mode, values=values[keep], present=np.ones(len(rows), dtype=np.bool_))
        for name, mode, values in chosen
    ]
    return [
        Records(
            rows=rows, epochs=epochs, steps=steps, columns=columns, places_run=not placed or _headed(placed)
        )
    ]


def _headed(placed: Sequence[Group]) -> bool:
    """Whether places stand in headings only, as Keras writes them."""
    return all(not group.values for group in placed)


def _last_epochs(placed: Sequence[Group], rows: Integers) -> Floats:
    sized = [group for group in placed if group.size]
    if not sized:
        return np.full(len(rows), np.nan)
    places = np.concatenate([group.rows for group in sized])
    order = np.argsort(places, kind="stable")
    epochs = carried_forward(np.concatenate([group.epochs for group in sized])[order])
    before = np.searchsorted(places[order], rows, side="right") - 1
    return np.where(before >= 0, epochs[np.maximum(before, 0)], np.nan)


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
        epochs, steps = _last_epochs(placed, rows), _last_steps(training, rows)
        records.append(Records(rows=rows, epochs=epochs, steps=steps, columns=[column], places_run=False))
    return records
