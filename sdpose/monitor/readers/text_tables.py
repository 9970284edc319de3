"""Tables that a trainer prints between other lines, a header and then rows of bare numbers: YOLO's, fastai's, skorch's.

Each row is rewritten as names and numbers, so that the rest reads it like any other line:

    Epoch    GPU_mem   box_loss   cls_loss         becomes    Epoch 1/100 GPU_mem=4.2G box_loss=1.52 ...
      1/100      4.2G       1.52       2.91
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sdpose.monitor.readers.numbers import to_float
from sdpose.monitor.readers.records import is_metric
from sdpose.monitor.readers.text_lines import Line

_HEADER = re.compile(r"^\s*epoch\s+[a-z_]", re.IGNORECASE)
_ROW = re.compile(r"^\s*(\d+(?:/\d+)?)\s+\S")
_SCORES = re.compile(r"^\s*Class\s+Images\s")
_ALL_CLASSES = re.compile(r"^\s*all\s+\d")
_BAR_STATE = re.compile(r"\s*\[\d+/\d+\]\s*$")


def name_columns(lines: Iterable[Line]) -> list[Line]:
    """The lines, rows of tables rewritten."""
    columns: Sequence[str] = ()
    scores: Sequence[str] = ()
    result: list[Line] = []
    for number, line in lines:
        # The first letter rules out most lines of a log before anything slower is asked.
        if _HEADER.match(line):
            columns = _columns(line) or columns
        elif "Class" in line and _SCORES.match(line):
            scores = [name.removeprefix("Box(").strip("():") for name in _BAR_STATE.sub("", line).split()]
        elif columns and (row := _ROW.match(line)):
            line = _named(line, columns, f"Epoch {row[1]}") or line
        elif scores and _ALL_CLASSES.match(line):
            line = _named(line, scores, "Validation") or line
        result.append((number, line))
    return result


def _columns(line: str) -> Sequence[str]:
    names = line.split()
    if any(to_float(name) is not None or ":" in name for name in names):
        return ()
    return names if sum(map(is_metric, names)) >= 1 and len(names) > 2 else ()


def _named(line: str, columns: Sequence[str], begin: str) -> str | None:
    cells = _BAR_STATE.sub("", line).split()
    if len(cells) != len(columns):
        return None
    pairs = [f"{name}={cell}" for name, cell in zip(columns[1:], cells[1:], strict=True)]
    return f"{begin}  " + "  ".join(pairs)
