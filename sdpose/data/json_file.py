"""JSON files as arrays of checked numbers; whatever is not there or not a number is named with its entry."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError, nearest

# Outlines are half of COCO's bytes and nine tenths of its numbers, and no pose code looks at them. Without
# them the train2017 file is read in half the time.
_POLYGONS = re.compile(rb'"segmentation":\s*\[[\[\]0-9eE.,+\s-]*\]')


def read_json(path: Path, what: str) -> Any:
    """Content of a JSON file, less the polygons under `segmentation`.

    Raises SdposeError, calling the file `what`, when it is missing, empty or malformed.
    """
    return parse_json(path, read_text(path, what), what)


def read_text(path: Path, what: str) -> bytes:
    """The bytes of a JSON file. Raises SdposeError, calling the file `what`, when it is missing or empty."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        siblings = [p.name for p in path.parent.glob("*.json")] if path.parent.is_dir() else []
        raise SdposeError(
            f"the {what} {path} does not exist; check the path in the config, or --data-root."
            f"{nearest(path.name, siblings)}"
        ) from None
    except OSError as error:
        raise SdposeError(
            f"the {what} {path} cannot be read ({error.strerror}); expected a JSON file"
        ) from None
    if not text.strip():
        raise SdposeError(f"the {what} {path} is empty ({len(text)} bytes); copy or download it again")
    return text


def parse_json(path: Path, text: bytes, what: str) -> Any:
    """The same as `read_json`, of the `text` of the file. Raises SdposeError when it is malformed."""
    # The parse makes millions of objects and no garbage, which the collector would walk again and again.
    collecting = gc.isenabled()
    gc.disable()
    try:
        try:
            return json.loads(_POLYGONS.sub(b'"segmentation":[]', text))
        except ValueError:
            return json.loads(text)  # so that the error points into the file as it is
    except UnicodeDecodeError as error:
        raise SdposeError(f"the {what} {path} is not JSON text ({error.reason}); is it packed?") from None
    except json.JSONDecodeError as error:
        cut = "" if text.rstrip().endswith((b"}", b"]")) else " (the file seems cut short)"
        raise SdposeError(
            f"the {what} {path} is not valid JSON: {error.msg} in line {error.lineno}, column "
            f"{error.colno}{cut}; copy or download it again"
        ) from None
    finally:
        if collecting:
            gc.enable()


def number_rows(
    path: Path, entries: Sequence[dict[str, Any]], key: str, length: int, layout: str
) -> NDArray[np.float64]:
    """The lists under `key` as rows (len(entries), length) of finite float64."""
    try:
        rows = np.array([entry[key] for entry in entries], np.float64).reshape(len(entries), length)
    except (KeyError, TypeError, ValueError):
        culprit = next(entry for entry in entries if not _is_numbers(entry.get(key), length))
        raise SdposeError(
            f"{path}: {which_entry(culprit)} has {key!r}: {_shortened(culprit.get(key))}; "
            f"expected {'a number' if length == 1 else f'{length} numbers'} ({layout})"
        ) from None
    if not np.isfinite(rows).all():
        culprit = entries[int(np.argmin(np.isfinite(rows).all(axis=1)))]
        raise SdposeError(
            f"{path}: {which_entry(culprit)} has a value in {key!r} that is not finite: "
            f"{_shortened(culprit[key])}; correct or remove it"
        )
    return rows


def number_column(
    path: Path, entries: Sequence[dict[str, Any]], key: str, absent: float
) -> NDArray[np.float64]:
    """The number under `key` of each entry, `absent` where there is none."""
    values = [absent if entry.get(key) is None else entry[key] for entry in entries]
    try:
        return np.array(values, np.float64).reshape(len(values))
    except (TypeError, ValueError):
        culprit = next(entry for entry in entries if not isinstance(entry.get(key, 0), (int, float)))
        raise SdposeError(
            f"{path}: {which_entry(culprit)} has {key!r}: {culprit[key]!r}; expected a number"
        ) from None


def _is_numbers(value: Any, length: int) -> bool:
    return (
        isinstance(value, list) and len(value) == length and all(isinstance(v, (int, float)) for v in value)
    )


def which_entry(entry: dict[str, Any]) -> str:
    """How to find an entry again."""
    if "id" in entry:
        return f"annotation id {entry['id']}"
    return f"the entry of image_id {entry.get('image_id', '?')}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
