"""JSON that every reader accepts: floats that are not finite become strings, and come back as floats.

Python's own encoder writes a bare `NaN`, which is not JSON: browsers and most loggers refuse the whole line.
"""

from __future__ import annotations

import json
import math
from typing import Any

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(value: Any) -> str:
    """One line of strict JSON; NaN and infinities as the strings "NaN", "Infinity" and "-Infinity".

    Tuples become lists. Raises TypeError for what JSON cannot hold.
    """
    return json.dumps(_encode(value), allow_nan=False, ensure_ascii=False)


def loads(text: str) -> Any:
    """The value that `dumps` wrote; raises ValueError when `text` is not JSON."""
    return _decode(json.loads(text))


def _encode(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _encode(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(member) for member in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _decode(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_decode(member) for member in value]
    return value
