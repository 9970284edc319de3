"""A curve in the terminal, in braille: what one number did over a run, with marks below it."""

from __future__ import annotations

import math
from collections.abc import Sequence

# Bits of a braille cell, which is two dots wide and four high; rows from the top.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_BROKEN = "×"
# A curve over so many times its smallest value is drawn on a logarithmic scale: else its end would be a line.
_LOG_FROM_RATIO = 50.0


def plot_curve(
    values: Sequence[float], *, width: int, height: int, marks: Sequence[tuple[int, str]] = ()
) -> list[str]:
    """Lines of text, `height` (at least 3) of them and one for the marks.

    Each column of dots shows the range of what falls into it. `marks`: (index into values, one character), drawn
    below the curve; `×` stands there where values are not finite. An empty list for no values.
    """
    if not len(values):
        return []
    columns = min(width, max(1, math.ceil(len(values) / 2)))
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    logarithmic = low > 0 and high / low > _LOG_FROM_RATIO
    cells = [[_BLANK] * columns for _ in range(height)]
    last = None
    for dot in range(2 * columns):
        chosen = values[_first(dot, columns, len(values)) : _first(dot + 1, columns, len(values))]
        rows = [_row(value, low, high, height, logarithmic) for value in chosen if math.isfinite(value)]
        if not rows:
            continue
        top, bottom = min(rows), max(rows)
        if last is not None:
            # Joined to the dot before, so that a jump is a line.
            top, bottom = (
                min(top, last + 1 if last < top else top),
                max(bottom, last - 1 if last > bottom else bottom),
            )
        last = rows[-1]
        for row in range(top, bottom + 1):
            cells[row // 4][dot // 2] |= _DOTS[row % 4][dot % 2]
    labels = [_shown(high), *[""] * (height - 2), _shown(low)]
    if logarithmic:
        labels[height // 2] = "(log)"
    elif high <= low:
        labels = [""] * height
        labels[height // 2] = _shown(low) if finite else "NaN"
    margin = max(map(len, labels))
    lines = [
        f"{label:>{margin}} {'┤' if label else '│'}{''.join(map(chr, row))}"
        for label, row in zip(labels, cells, strict=True)
    ]
    return [*lines, f"{'':{margin}} └{_mark_line(values, columns, marks)}"]


def _first(dot: int, columns: int, size: int) -> int:
    return dot * size // (2 * columns)


def _row(value: float, low: float, high: float, height: int, logarithmic: bool) -> int:
    """Row of dots, from the top."""
    if high <= low:
        return 2 * height
    if logarithmic:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return round((high - value) / (high - low) * (4 * height - 1))


def _mark_line(values: Sequence[float], columns: int, marks: Sequence[tuple[int, str]]) -> str:
    line = ["─"] * columns
    for index, value in enumerate(values):
        if not math.isfinite(value):
            line[index * columns // len(values)] = _BROKEN
    for index, mark in marks:
        line[index * columns // len(values)] = mark
    return "".join(line)


def _shown(value: float) -> str:
    return f"{value:.4g}"
