"""TensorBoard event files, decoded here: a record is a length, a Protocol Buffers message and check sums.

Only scalars are wanted, five fields of a format that has not changed since 2016. Reading them in eighty lines takes no
package (TensorBoard's own reader takes a second to import, and stops at the first damaged record).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.readers.log import Mode
from sdpose.monitor.readers.positions import is_epoch_name
from sdpose.monitor.readers.records import Column, LogParts, Records, mode_of

FORMAT = "tensorboard"
_HEADER, _FOOTER = 12, 4
_LONGEST_RECORD = 2**30
# Field numbers of the messages Event, Summary, Summary.Value and TensorProto.
_EVENT_STEP, _EVENT_SUMMARY = 2, 5
_SUMMARY_VALUE = 1
_VALUE_TAG, _VALUE_SIMPLE, _VALUE_TENSOR = 1, 2, 8
_TENSOR_DTYPE, _TENSOR_CONTENT, _TENSOR_FLOATS, _TENSOR_DOUBLES = 1, 4, 5, 6
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}

Field = tuple[int, Any]


def is_event_file(data: bytes) -> bool:
    """Whether this is the content of an event file, which names itself in its first record."""
    return b"brain.Event:" in data[:64]


def read(contents: Sequence[bytes]) -> LogParts:
    """The scalars of the event files of one run, in order. A row is an event, counted from 1."""
    parts = LogParts(format=FORMAT, num_rows=0)
    found: dict[str, list[tuple[int, int, float]]] = {}
    for data in contents:
        for message in _messages(data, parts.notes):
            parts.num_rows += 1
            step, values = _scalars(message)
            for tag, value in values:
                found.setdefault(tag, []).append((parts.num_rows, step, value))
    counted = next((tag for tag in found if is_epoch_name(tag)), None)
    epochs = {step: value for _, step, value in found.pop(counted, [])} if counted else {}
    for tag, entries in found.items():
        mode: Mode = mode_of(tag)
        steps = [step for _, step, _ in entries]
        numbers = np.array([value for _, _, value in entries], dtype=np.float64)
        parts.records.append(
            Records(
                rows=np.array([row for row, _, _ in entries], dtype=np.int64),
                epochs=np.array([epochs.get(step, math.nan) for step in steps]),
                steps=np.array(steps, dtype=np.float64),
                columns=[
                    Column(name=tag, mode=mode, values=numbers, present=np.ones(len(numbers), dtype=np.bool_))
                ],
                # Tags are written in turns, each with steps of its own.
                places_run=False,
            )
        )
    return parts


def _messages(data: bytes, notes: list[str]) -> Iterator[bytes]:
    place = 0
    while place + _HEADER <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        end = place + _HEADER + length
        if length > _LONGEST_RECORD or end > len(data):
            notes.append(f"the file is cut off or damaged after {place} of {len(data)} bytes")
            return
        yield data[place + _HEADER : end]
        place = end + _FOOTER


def _scalars(message: bytes) -> tuple[int, list[tuple[str, float]]]:
    """(step, [(tag, value)]) of one event; damaged ones hold nothing."""
    step, values = 0, []
    for number, content in _fields(message):
        if number == _EVENT_STEP and isinstance(content, int):
            step = content if content < 2**62 else 0
        elif number == _EVENT_SUMMARY and isinstance(content, bytes):
            for inner, value in _fields(content):
                if inner == _SUMMARY_VALUE and isinstance(value, bytes):
                    scalar = _scalar(value)
                    if scalar is not None:
                        values.append(scalar)
    return step, values


def _scalar(content: bytes) -> tuple[str, float] | None:
    tag, number = "", None
    for field, value in _fields(content):
        if field == _VALUE_TAG and isinstance(value, bytes):
            tag = value.decode("utf-8", errors="replace")
        elif field == _VALUE_SIMPLE and isinstance(value, float):
            number = value
        elif field == _VALUE_TENSOR and isinstance(value, bytes):
            number = _tensor(value)
    return (tag, number) if tag and number is not None else None


def _tensor(content: bytes) -> float | None:
    """The one number that a tensor holds; None for texts, pictures and histograms."""
    fields = dict(_fields(content))
    dtype = _DTYPES.get(fields.get(_TENSOR_DTYPE, 0))
    if dtype is None:
        return None
    raw = fields.get(_TENSOR_CONTENT)
    for field, packed in ((_TENSOR_FLOATS, "<f4"), (_TENSOR_DOUBLES, "<f8")):
        listed = fields.get(field)
        if isinstance(listed, float):
            return listed
        if isinstance(listed, bytes):
            raw, dtype = listed, packed
    if not isinstance(raw, bytes) or len(raw) != np.dtype(dtype).itemsize:
        return None
    return float(np.frombuffer(raw, dtype=dtype)[0])


def _fields(message: bytes) -> Iterator[Field]:
    """(number, content) of every field: int, float or bytes. Ends where the message makes no sense."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            content, place = _varint(message, place)
            yield number, content
        elif wire == 1 and place + 8 <= len(message):
            yield number, struct.unpack_from("<d", message, place)[0]
            place += 8
        elif wire == 5 and place + 4 <= len(message):
            yield number, struct.unpack_from("<f", message, place)[0]
            place += 4
        elif wire == 2:
            length, place = _varint(message, place)
            if place + length > len(message):
                return
            yield number, message[place : place + length]
            place += length
        else:
            return


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, place
        shift += 7
    return number, len(message)
