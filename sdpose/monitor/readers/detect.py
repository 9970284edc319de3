"""`read_log`: which format a file has, by its content, and the reader for it."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from sdpose.monitor.readers import csv_logs, hf_trainer, mmcv_json, mmengine_json, tensorboard, text_log
from sdpose.monitor.readers.files import LogText, decode, read_bytes
from sdpose.monitor.readers.json_lines import parse_line
from sdpose.monitor.readers.log import TrainingLog, UnreadableLog
from sdpose.monitor.readers.records import LogParts, assemble, holds_metrics
from sdpose.monitor.readers.table import find_header

_LOOK_AT_LINES = 40


def read_log(path: Path, *, whole_lines: bool = False) -> TrainingLog:
    """The training log in a file, or the newest one in a folder.

    `whole_lines` leaves out a last line without its newline, which somebody may still be writing. Raises UnreadableLog
    for what holds no training values.
    """
    with _collector_paused():
        if path.is_dir():
            from sdpose.monitor.readers.folder import read_folder

            return read_folder(path, whole_lines=whole_lines)
        return read_file(path, whole_lines=whole_lines)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """A log becomes a million small objects without a cycle; looking for some takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_file(path: Path, *, whole_lines: bool = False) -> TrainingLog:
    """The training log in one file."""
    data, notes = read_bytes(path)
    if tensorboard.is_event_file(data):
        parts = tensorboard.read([data])
        parts.notes[:0] = notes
        return assemble(path, parts)
    text = decode(data, path)
    if whole_lines and not text.ends_whole and len(text.lines) > 1:
        text = dataclasses.replace(text, lines=text.lines[:-1], ends_whole=True)
    text = dataclasses.replace(text, notes=(*notes, *text.notes))
    for reading in _readings(text, path):
        if reading is not None and holds_metrics(reading):
            return assemble(path, reading)
    if find_header(text.lines) is not None:
        raise UnreadableLog(f"{path}: a header and no row below it yet; wait for the first epoch")
    raise UnreadableLog(
        f"{path}: no losses or scores in it; give a training's log: *.log.json, scalars.json, metrics.csv, "
        "results.csv, trainer_state.json, a CSV with a header, or text with 'loss: 0.5'"
    )


def _readings(text: LogText, path: Path) -> Iterator[LogParts | None]:
    """What the file could be, the likeliest first."""
    filled = list(islice((line for line in text.lines if line and not line.isspace()), _LOOK_AT_LINES))
    objects = [entry for entry in map(parse_line, filled) if entry is not None]
    by_line = len(objects) >= 0.5 * len(filled)
    if filled[0].lstrip().startswith(("{", "[")) and (not by_line or len(filled) == 1):
        yield hf_trainer.read(text.text)
    if by_line:
        is_mmcv = any(entry.get("mode") in ("train", "val") and "epoch" in entry for entry in objects)
        yield mmcv_json.read(text, path) if is_mmcv else None
        yield mmengine_json.read(text)
    header = find_header(text.lines)
    table = csv_logs.read(text, header, path) if header is not None else None
    if table is not None and sum(len(group.rows) for group in table.records) >= 0.5 * (len(text.lines) - 1):
        yield table
    yield text_log.read(text)
    yield table
