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
    size = len(cells)
    if size and not isinstance(cells[0], bool):
        try:
            return np.fromiter(map(float, cells), dtype=np.float64, count=size), np.ones(size, dtype=np.bool_)
        except (ValueError, TypeError, OverflowError):
            pass
    # Mostly there are cells without anything in them; what is in the others is read in one go again.
    filled = [cell for cell in cells if cell]
    try:
        numbers = np.fromiter(map(float, filled), dtype=np.float64, count=len(filled))
        present = np.fromiter(map(bool, cells), dtype=np.bool_, count=size)
    except (ValueError, TypeError, OverflowError):
        found = [to_float(cell, decimal_comma=decimal_comma) for cell in cells]
        present = np.fromiter((number is not None for number in found), dtype=np.bool_, count=size)
        numbers = np.array([number for number in found if number is not None], dtype=np.float64)
    values = np.full(size, np.nan)
    values[present] = numbers
    return values, present
