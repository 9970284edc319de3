"""Numbers as logs write them: `0.5`, `nan`, `1,234.5`, `85.3%`, `0,5`, `tensor(0.5)`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdpose.monitor.readers.log import Floats

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]

_WRAPPED = re.compile(r"^(?:tensor|array|np\.\w+|numpy\.\w+)?[\[(]+([^,()\[\]]+)")
_THOUSANDS = re.compile(r"^[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$")
# What the C library of old Windows versions prints.
_WINDOWS = {"1.#INF": math.inf, "-1.#INF": -math.inf, "1.#QNAN": math.nan, "-1.#IND": math.nan}


def to_float(cell: Any, *, decimal_comma: bool = False) -> float | None:
    """The number that a cell, a token or a JSON value holds; None when it holds none."""
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        try:
            return float(cell)
        except OverflowError:
            return math.copysign(math.inf, cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip(" \t\r\n'\"")
    if decimal_comma and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        # Python reads 1_000 as a number; in a log it is a name.
        return None if "_" in text else float(text)
    except ValueError:
        pass
    if text.endswith("%"):
        return to_float(text[:-1])
    if _THOUSANDS.match(text):
        return float(text.replace(",", ""))
    if text in _WINDOWS:
        return _WINDOWS[text]
    wrapped = _WRAPPED.match(text)
    return to_float(wrapped[1]) if wrapped else None


def to_column(cells: Sequence[Any], *, decimal_comma: bool = False) -> tuple[Floats, Mask]:
    """All cells of a column as (n,) numbers, and (n,) which of them hold one."""
    try:
        if not isinstance(cells[0] if len(cells) else "", bool):
            numbers = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
            return numbers, np.ones(len(cells), dtype=np.bool_)
    except (ValueError, TypeError, OverflowError):
        pass
    found = [to_float(cell, decimal_comma=decimal_comma) for cell in cells]
    present = np.fromiter((number is not None for number in found), dtype=np.bool_, count=len(found))
    values = [math.nan if number is None else number for number in found]
    return np.array(values, dtype=np.float64), present
