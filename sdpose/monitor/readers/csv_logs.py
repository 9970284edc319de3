"""CSV logs: Lightning's `metrics.csv`, Ultralytics' `results.csv`, Keras' CSVLogger and everybody's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.monitor.readers.files import LogText, text_beside
from sdpose.monitor.readers.log import Floats, Mode
from sdpose.monitor.readers.numbers import Mask, to_column
from sdpose.monitor.readers.positions import is_epoch_name, is_step_name, steps_of_run
from sdpose.monitor.readers.records import Column, LogParts, Records, facts_in_text, is_metric, mode_of
from sdpose.monitor.readers.table import Header, Table, read_tables

LIGHTNING, ULTRALYTICS, KERAS = "lightning_csv", "ultralytics_csv", "keras_csv"
_ULTRALYTICS = re.compile(r"^(?:metrics/|lr/pg\d|x/lr\d|train/(?:box|obj|cls|dfl)_loss$)")
_SPLITS: Mapping[str, Mode] = {
    **dict.fromkeys(["val", "valid", "validation", "eval", "evaluation", "test", "dev"], "val"),
    **dict.fromkeys(["train", "training"], "train"),
}
_SETTINGS_BYTES = 2**20
# Where a framework writes its settings: beside the log.
_SETTINGS = {ULTRALYTICS: ("args.yaml", "opt.yaml"), LIGHTNING: ("hparams.yaml",), KERAS: ()}


def read(text: LogText, header: Header, path: Path) -> LogParts:
    """One file whose header has been found."""
    tables, new_runs, notes = read_tables(text.lines, header, ends_whole=text.ends_whole)
    kind = format_of(header.names)
    parts = LogParts(format=kind, num_rows=len(text.lines), notes=[*text.notes, *notes], new_runs=new_runs)
    for table in tables:
        _add_table(parts, table)
    for name in _SETTINGS[kind]:
        parts.facts.update(facts_in_text(text_beside(path.parent / name, max_bytes=_SETTINGS_BYTES)))
        parts.total_epochs = parts.facts.get("total_epochs")
    return parts


def format_of(names: Sequence[str]) -> str:
    """Whose CSV it is, by its columns."""
    if any(_ULTRALYTICS.match(name) for name in names):
        return ULTRALYTICS
    lower = {name.lower() for name in names}
    # Old versions of Lightning write `created_at` and no step.
    if "epoch" in lower and lower & {"step", "created_at"}:
        return LIGHTNING
    return KERAS


def _add_table(parts: LogParts, table: Table) -> None:
    counted = sum(len(group.rows) for group in parts.records)
    num_rows = len(table.rows)
    rows = np.array(table.rows, dtype=np.int64)
    numbers: dict[str, tuple[Floats, Mask]] = {}
    texts: list[str] = []
    splits = _split_column(table)
    for name, cells in zip(table.names, table.columns, strict=True):
        values, present = to_column(cells, decimal_comma=table.decimal_comma)
        if parts.format == KERAS and _blank_is_nan(table, name, present):
            first = table.rows[int(np.argmin(present))]
            parts.notes.append(f"{name} is empty from line {first} on: read as NaN, which pandas writes so")
            present = np.ones(num_rows, dtype=np.bool_)
        if present.any():
            numbers[name] = (values, present)
        elif any(cell.strip() for cell in cells) and name != splits:
            texts.append(name)
    if texts:
        parts.notes.append(f"columns without numbers left out: {', '.join(texts[:8])}")
    epoch = _first(numbers, is_epoch_name) or _pandas_index(numbers)
    step = _first(numbers, is_step_name)
    epochs = _place(numbers.get(epoch or ""), num_rows)
    counters = _place(numbers.get(step or ""), num_rows)
    columns = []
    for name, (values, present) in numbers.items():
        if name in (epoch, step) or not name:
            continue
        columns.append(Column(name=name, mode=mode_of(name), values=values, present=present))
    steps = steps_of_run(epochs, counters) if step else _count_from(counted + 1, num_rows)
    _add_records(parts, table, splits, rows, epochs, steps, columns)


def _add_records(
    parts: LogParts,
    table: Table,
    splits: str | None,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    epochs: Floats,
    steps: Floats,
    columns: list[Column],
) -> None:
    if splits is None:
        parts.records.append(Records(rows=rows, epochs=epochs, steps=steps, columns=columns))
        return
    cells = [_SPLITS[cell.strip().lower()] for cell in table.columns[table.names.index(splits)]]
    modes: tuple[Mode, Mode] = ("train", "val")
    for mode in modes:
        of_mode = np.array([cell == mode for cell in cells], dtype=np.bool_)
        chosen = [
            Column(
                name=column.name,
                mode=mode_of(column.name, mode),
                values=column.values[of_mode],
                present=column.present[of_mode],
            )
            for column in columns
        ]
        parts.records.append(
            Records(
                rows=rows[of_mode],
                epochs=epochs[of_mode],
                steps=steps[of_mode],
                columns=chosen,
                places_run=mode == "train",
            )
        )


def _split_column(table: Table) -> str | None:
    """A column that says for each row whether it is of training or of validation."""
    for name, cells in zip(table.names, table.columns, strict=True):
        # The first cell rules most columns out without looking at the others.
        if cells[0].strip().lower() not in _SPLITS:
            continue
        found = {_SPLITS.get(cell.strip().lower()) for cell in set(cells)}
        if found == {"train", "val"}:
            return name
    return None


def _first(numbers: Mapping[str, Any], wanted: Any) -> str | None:
    return next((name for name in numbers if wanted(name)), None)


def _pandas_index(numbers: Mapping[str, tuple[Floats, Mask]]) -> str | None:
    """pandas writes its index as a first column without a name; for a history it counts epochs."""
    for name in ("", "Unnamed: 0"):
        if name in numbers and numbers[name][1].all() and bool((np.diff(numbers[name][0]) == 1).all()):
            return name
    return None


def _place(column: tuple[Floats, Mask] | None, num_rows: int) -> Floats:
    if column is None:
        return np.full(num_rows, np.nan)
    values, present = column
    return np.where(present, values, np.nan)


def _count_from(first: int, size: int) -> Floats:
    return np.arange(first, first + size, dtype=np.float64)


def _blank_is_nan(table: Table, name: str, present: Mask) -> bool:
    """Whether a loss that was in every row is in none from some row on, while other values go on.

    pandas writes NaN as an empty cell. Cells that are empty in turns are no value, as in Lightning's files, and so is a
    validation loss that never was there.
    """
    if present.all() or "loss" not in name.lower():
        return False
    first = int(np.argmin(present))
    if present[first:].any() or (first == 0 and mode_of(name) == "val"):
        return False
    others = [
        cells[first:]
        for other, cells in zip(table.names, table.columns, strict=True)
        if other != name and is_metric(other)
    ]
    return any(all(cell.strip() for cell in cells) for cells in others)
