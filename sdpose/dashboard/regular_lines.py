"""Many lines of one shape at once: the numbers of a million lines of JSON in seconds, without making an object of each.

`{"mode": "train", "epoch": 1, "iter": 50, "lr": 0.001, ...}`: the keys of a run's lines are always the same, as
`json.dumps` writes them. Numbers come out as `float` reads them, to the last bit; whatever is not exactly of that
shape is left to a real reader of JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]
_PLAIN_KEY = re.compile(r'[^"\\:\x00-\x1f]+')
_PREFIX = b'{"mode": "train"'
_LONGEST = 24
# Both the digits and the power of ten are exact as floats then, so one division rounds once, as `float` does.
_MOST_DIGITS, _MOST_POWER = 15, 22
_POWERS = 10.0 ** np.arange(_MOST_POWER + 1)


@dataclass(frozen=True, slots=True)
class RegularLines:
    """The lines of one shape in a block."""

    names: tuple[str, ...]
    values: NDArray[np.float64]  # (n, m): line, name
    lines: Places  # (n,) index of the line in the block
    starts: Places  # (lines of the block,) where each begins
    ends: Places  # (lines of the block,) behind its newline


def read_regular(block: bytes) -> RegularLines | None:
    """The training lines of a block of whole lines that have the shape of the first; None where there are none."""
    names = _shape(block)
    if names is None:
        return None
    text = np.frombuffer(block + bytes(_LONGEST), dtype=np.uint8)
    ends = np.flatnonzero(text == 10) + 1
    starts = np.concatenate([[0], ends[:-1]])
    colons = np.flatnonzero(text == 58)
    colons = colons[(colons > 0) & (text[colons - 1] == 34)]
    counts = np.diff(np.searchsorted(colons, np.concatenate([starts, ends[-1:]])))
    lines = np.flatnonzero(counts == len(names) + 1)
    if not len(lines):
        return None
    first_colon = np.concatenate([[0], np.cumsum(counts)])[lines]
    places = colons[first_colon[:, None] + np.arange(1, len(names) + 1)]
    good = _equal(text, starts[lines], _PREFIX) & (text[ends[lines] - 2] == ord("}"))
    behind = starts[lines] + len(_PREFIX)
    value_starts = places + 2
    value_ends = np.empty_like(value_starts)
    for index, name in enumerate(names):
        separator = f', "{name}": '.encode()
        before = places[:, index] + 2 - len(separator)
        good &= _equal(text, np.maximum(before, 0), separator)
        if index:
            value_ends[:, index - 1] = before
        else:
            good &= before == behind
    value_ends[:, -1] = ends[lines] - 2
    values, numeric = _numbers(text, value_starts.ravel(), value_ends.ravel())
    good &= numeric.reshape(places.shape).all(axis=1)
    return RegularLines(names, values.reshape(places.shape)[good], lines[good], starts, ends)


def _shape(block: bytes) -> tuple[str, ...] | None:
    """The names in the first training line, if that line is written as ours are."""
    start = block.find(_PREFIX)
    line = block[start : block.find(b"\n", start)] if start >= 0 else b""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    names = tuple(row)[1:]
    plain = all(_PLAIN_KEY.fullmatch(name) for name in names) and {"epoch", "iter"} <= set(names)
    return names if plain and line.count(b'":') == len(row) else None


def _equal(text: Bytes, starts: Places, wanted: bytes) -> NDArray[np.bool_]:
    """Whether `wanted` stands at each of `starts` (n,)."""
    pattern = np.frombuffer(wanted, dtype=np.uint8)
    inside = np.minimum(starts[:, None] + np.arange(len(pattern)), len(text) - 1)
    return np.asarray((text[inside] == pattern).all(axis=1))


def _numbers(text: Bytes, starts: Places, ends: Places) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) numbers between `starts` and `ends`, and (n,) whether there is one that this reads exactly."""
    lengths = ends - starts
    good = (lengths > 0) & (lengths <= _LONGEST)
    lengths = np.where(good, lengths, 0)
    size = len(starts)
    digits = np.zeros(size, dtype=np.int64)
    num_digits, num_decimals = np.zeros(size, dtype=np.int16), np.zeros(size, dtype=np.int16)
    exponent = np.zeros(size, dtype=np.int16)
    has_point, has_exponent = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    after_e, awaits = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    negative, shrinks = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    for index in range(int(lengths.max(initial=0))):
        character = text[starts + index]
        live = index < lengths
        is_digit = live & ((character - np.uint8(48)) <= 9)
        in_mantissa = is_digit & ~has_exponent
        in_exponent = is_digit & has_exponent
        digit = character.astype(np.int64) - 48
        digits = np.where(in_mantissa & (num_digits <= _MOST_DIGITS), digits * 10 + digit, digits)
        num_digits += in_mantissa
        num_decimals += in_mantissa & has_point
        exponent = np.where(in_exponent & (exponent < 1000), exponent * 10 + digit.astype(np.int16), exponent)
        other = live & ~is_digit
        minus, point = other & (character == 45), other & (character == 46)
        is_e = other & ((character == 101) | (character == 69))
        negative |= minus & (index == 0)
        shrinks |= minus & after_e
        known = (minus & ((index == 0) | after_e)) | (point & ~has_point & ~has_exponent)
        known |= (is_e & ~has_exponent) | (other & (character == 43) & after_e)
        good &= ~other | known
        has_point |= point
        has_exponent |= is_e
        awaits |= is_e
        awaits &= ~in_exponent
        after_e = is_e
    power = np.where(shrinks, -exponent, exponent) - num_decimals
    good &= ~awaits & (num_digits > 0) & (num_digits <= _MOST_DIGITS) & (np.abs(power) <= _MOST_POWER)
    factor = _POWERS[np.minimum(np.abs(power), _MOST_POWER)]
    whole = digits.astype(np.float64)
    values = np.where(power < 0, whole / factor, whole * factor)
    return np.where(negative, -values, values), good
