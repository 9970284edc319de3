"""Tables in text: comma, semicolon, tab or blanks between cells, with a header that may stand there again."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sdpose.monitor.readers.numbers import to_float
from sdpose.monitor.readers.positions import is_epoch_name, is_step_name
from sdpose.monitor.readers.records import is_metric, line_list

Cells = list[str]
_DELIMITERS = (",", "\t", ";", "|")
_BLANKS = re.compile(r"\s+|,\s*")
_RULE = re.compile(r"^[\s|+=-]*$")
_LOOK_AT_LINES = 60
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The line that names the columns, and what stands between its cells."""

    index: int
    """Of the line, 0-based."""
    names: tuple[str, ...]
    """Unique: the second `loss` is called `loss (2)`."""
    delimiter: str
    """One character, or a blank for any run of blanks."""


@dataclass(slots=True, kw_only=True)
class Table:
    """The rows under one header."""

    names: tuple[str, ...]
    rows: list[int] = field(default_factory=list)
    """Line numbers, 1-based."""
    columns: list[Cells] = field(default_factory=list)
    decimal_comma: bool = False


def find_header(lines: Sequence[str]) -> Header | None:
    """The header of a table of training values near the top of a file; None when there is none."""
    for index, line in enumerate(lines[:_LOOK_AT_LINES]):
        if not line.strip() or len(line) > 50_000:
            continue
        following = [
            other for other in lines[index + 1 : index + 12] if other.strip() and not _RULE.match(other)
        ]
        for delimiter in (*_DELIMITERS, " "):
            header = _header(index, line, delimiter, following)
            if header is not None:
                return header
    return None


def _header(index: int, line: str, delimiter: str, following: Sequence[str]) -> Header | None:
    names = [name.strip().strip("'\"").strip().lstrip("#").strip() for name in split_line(line, delimiter)]
    single = len(names) == 1 and delimiter == ","
    if (len(names) < 2 and not single) or any(len(name) > _LONGEST_NAME for name in names):
        return None
    if sum(to_float(name) is not None for name in names) > 0.4 * len(names):
        return None
    if not any(is_metric(name) for name in names):
        return None
    # Prose has words between blanks, too: a table of blanks must count something.
    if delimiter == " " and not any(is_epoch_name(name) or is_step_name(name) for name in names):
        return None
    if not following:
        # A run that has only just written its header.
        return Header(index=index, names=_unique(names), delimiter=delimiter) if _looks_named(names) else None
    fitting = [
        cells
        for cells in (split_line(other, delimiter) for other in following[:5])
        if len(cells) == len(names)
    ]
    if not fitting or not any(_holds_numbers(cells) for cells in fitting):
        return None
    return Header(index=index, names=_unique(names), delimiter=delimiter)


def _looks_named(names: Sequence[str]) -> bool:
    return len(names) >= 2 and all(re.fullmatch(r"[\w./() @:%-]+", name) for name in names if name)


def _holds_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    numbers = sum(to_float(cell, decimal_comma=True) is not None for cell in filled)
    return numbers > 0 and numbers >= 0.4 * len(filled)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(unique)


def split_line(line: str, delimiter: str) -> Cells:
    """The cells of a line."""
    if delimiter == " ":
        return _BLANKS.split(line.strip())
    if delimiter == "|":
        return line.strip().strip("|").split("|")
    if '"' in line:
        try:
            # One line at a time: a quote that is never closed must not swallow the rest of the file.
            return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            pass
    return line.split(delimiter)


def read_tables(
    lines: Sequence[str], header: Header, *, ends_whole: bool
) -> tuple[list[Table], list[int], list[str]]:
    """(tables, rows that begin a new run, notes): a new table wherever a header names other columns."""
    builder = _Builder(header, lines)
    start = header.index + 1
    if header.delimiter in _DELIMITERS[:3] and not any('"' in line for line in lines):
        builder.add_plain(lines, start)
    else:
        for index in range(start, len(lines)):
            builder.add(index + 1, split_line(lines[index], header.delimiter))
    notes = []
    odd = builder.odd
    if odd and odd[-1] == len(lines) and not ends_whole:
        odd.pop()
        notes.append(f"line {len(lines)} left out: it is cut off")
    if odd:
        notes.append(f"{line_list(odd)} left out: not the {len(header.names)} cells that the header has")
    if builder.new_runs:
        notes.append(
            f"the header stands again before {line_list(builder.new_runs)}: another run, or a resumed one"
        )
    return [table for table in builder.tables if table.rows], builder.new_runs, notes


class _Builder:
    """Takes lines in the order of the file."""

    def __init__(self, header: Header, lines: Sequence[str]) -> None:
        self.tables = [_empty(header.names, header.delimiter)]
        self.odd: list[int] = []
        self.new_runs: list[int] = []
        self._lines = lines
        self._delimiter = header.delimiter
        self._begins = False

    def add_plain(self, lines: Sequence[str], start: int) -> None:
        """Lines without quotes from index `start` on: all that fit in one go, with the others in between."""
        separators = [line.count(self._delimiter) for line in lines]
        first_cell = self.tables[0].names[0]
        begin = start
        for index in range(start, len(lines) + 1):
            fits = (
                index < len(lines)
                and separators[index] == len(self.tables[-1].names) - 1
                and not lines[index]
                .lstrip("#\t '")
                .startswith((first_cell or self._delimiter, self._delimiter * 2))
                and not lines[index].isspace()
                and lines[index] != ""
            )
            if fits:
                continue
            self._add_block(lines[begin:index], begin + 1)
            if index < len(lines):
                self.add(index + 1, lines[index].split(self._delimiter))
            begin = index + 1

    def _add_block(self, block: Sequence[str], number: int) -> None:
        if not block:
            return
        if self._begins:
            self.new_runs.append(number)
            self._begins = False
        table = self.tables[-1]
        cells = self._delimiter.join(block).split(self._delimiter)
        width = len(table.names)
        for place, column in enumerate(table.columns):
            column += cells[place::width]
        table.rows += range(number, number + len(block))

    def add(self, number: int, cells: Cells) -> None:
        """One line, split: a row, a header, a blank or a rule, or something odd."""
        if not any(cell.strip() for cell in cells) or _RULE.match(self._lines[number - 1]):
            return
        names = self.tables[-1].names
        again = _header_again(cells, names)
        if again is not None:
            self._begins = True
            if again != names:
                self.tables.append(_empty(again, self._delimiter))
        elif len(cells) == len(names) and (to_float(cells[0]) is not None or _holds_numbers(cells)):
            if self._begins:
                self.new_runs.append(number)
                self._begins = False
            for column, cell in zip(self.tables[-1].columns, cells, strict=True):
                column.append(cell)
            self.tables[-1].rows.append(number)
        else:
            self.odd.append(number)


def _empty(names: tuple[str, ...], delimiter: str) -> Table:
    return Table(names=names, columns=[[] for _ in names], decimal_comma=delimiter == ";")


def _header_again(cells: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """The names in a line that is a header itself; None when it is none."""
    stripped = [cell.strip().strip("'\"").strip().lstrip("#").strip() for cell in cells]
    if tuple(stripped) == tuple(names) or _unique(stripped) == tuple(names):
        return tuple(names)
    if len(stripped) < 2 or not all(name and to_float(name) is None for name in stripped):
        return None
    if not any(is_metric(name) for name in stripped) or not set(stripped) & set(names):
        return None
    return _unique(stripped)
