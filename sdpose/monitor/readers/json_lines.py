"""One JSON object a line, and objects in a list: rows with numbers, in bulk."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.readers.log import Floats, Mode
from sdpose.monitor.readers.numbers import to_column, to_float
from sdpose.monitor.readers.records import Column, Records, mode_of

JsonRow = tuple[int, dict[str, Any]]
_DECODER = json.JSONDecoder()
# What print(dict) and other languages write for NaN and infinity.
_BARE = re.compile(r"(?<=[:\[,\s])([-+]?)(nan|inf)(?=\s*[,}\]])", re.IGNORECASE)
# A nest this deep is no log, and would end in a RecursionError.
_DEEPEST = 200


def parse_lines(lines: Sequence[str]) -> tuple[list[JsonRow], list[int]]:
    """(line number, object) of every line that holds one, and the numbers of those that hold something else."""
    numbers = [number for number, line in enumerate(lines, 1) if line and not line.isspace()]
    texts = [lines[number - 1] for number in numbers]
    try:
        # One call for all lines takes half the time of one call a line.
        found = json.loads("[" + ",".join(texts) + "]")
        if len(found) == len(texts) and all(type(entry) is dict for entry in found):
            return list(zip(numbers, found, strict=True)), []
    except (ValueError, RecursionError):
        pass
    rows, skipped = [], []
    for number, text in zip(numbers, texts, strict=True):
        entry = parse_line(text)
        if entry is None:
            skipped.append(number)
        else:
            rows.append((number, entry))
    return rows, skipped


def parse_line(text: str) -> dict[str, Any] | None:
    """The object that a line holds, what follows it on the line being left; None when there is none."""
    text = text.strip()
    if not text.startswith("{") or text.count("{") > _DEEPEST or text.count("[") > 50 * _DEEPEST:
        return None
    for candidate in (text, _BARE.sub(_json_constant, text)):
        try:
            entry, _ = _DECODER.raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        return entry if isinstance(entry, dict) else None
    return None


def _json_constant(found: re.Match[str]) -> str:
    return "NaN" if found[2].lower() == "nan" else found[1].replace("+", "") + "Infinity"


def group_rows(
    rows: Sequence[JsonRow], kind: Callable[[Mapping[str, Any]], Any] = lambda row: None
) -> list[list[JsonRow]]:
    """Rows with the same keys in the same order and of the same `kind`, each group in the order of the file.

    An object in an object is flattened: {"train": {"loss": 1}} becomes {"train/loss": 1}.
    """
    groups: dict[Any, list[JsonRow]] = {}
    for entry in rows:
        groups.setdefault((kind(entry[1]), tuple(entry[1])), []).append(entry)
    result = []
    for group in groups.values():
        if any(type(value) is dict for value in group[0][1].values()):
            result += group_rows([(number, _flattened(row)) for number, row in group], kind)
        else:
            result.append(group)
    return result


def numbers_of(rows: Sequence[JsonRow], key: str) -> Floats:
    """The numbers under a key, NaN where there is none. (n,)"""
    values, present = to_column([row.get(key) for _, row in rows])
    return np.where(present, values, np.nan)


def make_records(
    group: Sequence[JsonRow], *, mode: Mode, epochs: Floats, steps: Floats, without: Sequence[str]
) -> Records:
    """A group of rows with the same keys as records; values without a number (texts, lists) are left out."""
    columns = []
    for key, cells in zip(group[0][1], zip(*[row.values() for _, row in group], strict=True), strict=True):
        if not key or key in without or _is_text(cells[0]):
            continue
        values, present = to_column(cells)
        if present.any():
            columns.append(Column(name=key, mode=mode_of(key, mode), values=values, present=present))
    return Records(
        rows=np.array([number for number, _ in group], dtype=np.int64),
        epochs=epochs,
        steps=steps,
        columns=columns,
        places_run=mode == "train",
    )


def _is_text(value: Any) -> bool:
    # mmdetection's "bbox_mAP_copypaste": "0.1 0.2 ..."; but fairseq writes its numbers in quotes.
    return isinstance(value, (list, bool)) or (isinstance(value, str) and to_float(value) is None)


def _flattened(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            # Deeper nests are no numbers of a log.
            flat.update(
                {f"{key}/{inner}": member for inner, member in value.items() if type(member) is not dict}
            )
        else:
            flat[key] = value
    return flat
