"""Lines of one shape, read together: by the position of their words, twenty thousand at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpose.monitor.readers.log import Floats, Integers, Mode
from sdpose.monitor.readers.numbers import to_column, to_float
from sdpose.monitor.readers.text_lines import Line
from sdpose.monitor.readers.text_shape import Shape, study

# The exponent's letter goes too, so that 1e-05 and 0.1 make no difference.
_WITHOUT_DIGITS = str.maketrans("", "", "0123456789.+-eE \t")
_INTO_WORDS = str.maketrans(dict.fromkeys("\t:=,|()[]{}'\";/%<>", " "))
_MARK = "\x02"
_LINE_END = f" {_MARK} "
_LINES_AT_ONCE = 20_000
_LONGEST_LINE = 4000


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


def read_groups(lines: Sequence[Line]) -> list[Group]:
    """All lines with numbers of interest, grouped by shape."""
    return [group for alike in _by_shape(lines) for group in _read_group(alike)]


def _by_shape(lines: Sequence[Line]) -> list[list[Line]]:
    shapes: dict[str, list[Line]] = {}
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = [line for line in lines[start : start + _LINES_AT_ONCE] if len(line[1]) <= _LONGEST_LINE]
        if not some:
            continue
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
    fitting, columns, others = _words(lines, [index for index, _ in indices])
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
    return [group, *(other for alike in others for other in _read_group(alike))]


def _words(
    lines: Sequence[Line], indices: Sequence[int]
) -> tuple[list[int], list[list[str]], list[list[Line]]]:
    """(numbers of the lines with the words of the first, their words at `indices`, the other lines by their words).

    Words that begin with a letter must be the same in all, `loss1` and `loss2` are two names; numbers may differ.
    """
    first = lines[0][1].translate(_INTO_WORDS).split()
    count = len(first)
    named = [index for index, word in enumerate(first) if word[0].isalpha() and index not in indices]
    numbers: list[int] = []
    columns: list[list[str]] = [[] for _ in indices]
    others: dict[tuple[str, ...], list[Line]] = {}
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = lines[start : start + _LINES_AT_ONCE]
        words = _LINE_END.join([line for _, line in some]).translate(_INTO_WORDS).split()
        # A mark between lines: if every mark stands where it should, every line has its words.
        marks = words[count :: count + 1]
        whole = len(words) == len(some) * (count + 1) - 1 and marks.count(_MARK) == len(marks)
        if not whole or any(words[index :: count + 1].count(first[index]) != len(some) for index in named):
            some, words = _only_alike(some, first, named, others)
        numbers += [number for number, _ in some]
        for column, index in zip(columns, indices, strict=True):
            column += words[index :: count + 1]
    return numbers, columns, list(others.values())


def _only_alike(
    lines: Sequence[Line],
    first: Sequence[str],
    named: Sequence[int],
    others: dict[tuple[str, ...], list[Line]],
) -> tuple[list[Line], list[str]]:
    """The lines with the words of the first, and those words, a mark after each line; the rest go to `others`."""
    alike, words = [], []
    for line in lines:
        found = line[1].translate(_INTO_WORDS).split()
        if len(found) == len(first) and all(found[index] == first[index] for index in named):
            alike.append(line)
            words += [*found, _MARK]
        else:
            letters = [word for word in found if word[0].isalpha()]
            others.setdefault((str(len(found)), *letters), []).append(line)
    return alike, words


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
