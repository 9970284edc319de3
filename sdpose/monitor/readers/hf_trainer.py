"""Hugging Face's `trainer_state.json`, whole or cut off; and other JSON documents that hold a history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdpose.monitor.readers.json_lines import JsonRow, group_rows, make_records, numbers_of
from sdpose.monitor.readers.log import Mode
from sdpose.monitor.readers.mmengine_json import add_rows
from sdpose.monitor.readers.numbers import to_column
from sdpose.monitor.readers.positions import is_epoch_name
from sdpose.monitor.readers.records import Column, LogParts, Records, is_metric, mode_of

FORMAT = "hf_trainer_state"
_DECODER = json.JSONDecoder()
_FACTS = {
    "train_batch_size": "batch_size",
    "per_device_train_batch_size": "batch_size",
    "best_metric": "best_metric",
    "best_model_checkpoint": "best_model_checkpoint",
    "max_steps": "max_steps",
}


def read(text: str) -> LogParts | None:
    """The history in a JSON document; None when it holds none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _read_cut_off(text)
    if isinstance(document, dict) and isinstance(document.get("log_history"), list):
        return _trainer_state(document, document["log_history"], notes=[])
    if isinstance(document, dict) and isinstance(document.get("history"), dict):
        document = document["history"]
    if isinstance(document, dict):
        return _columns(document)
    if isinstance(document, list):
        parts = LogParts(format="json_rows", num_rows=len(document))
        add_rows(parts, _numbered(document))
        return parts
    return None


def _numbered(entries: list[Any]) -> list[JsonRow]:
    return [(index, entry) for index, entry in enumerate(entries) if isinstance(entry, dict)]


def _read_cut_off(text: str) -> LogParts | None:
    """The complete entries of a `trainer_state.json` that a full disk or a kill cut off."""
    start = text.find("[", text.find('"log_history"')) if '"log_history"' in text else -1
    if start < 0:
        return None
    entries, place = [], start + 1
    while True:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            entry, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        entries.append(entry)
    note = f"the file is cut off or damaged: {len(entries)} whole entries read"
    return _trainer_state({}, entries, notes=[note])


def _trainer_state(document: Mapping[str, Any], history: list[Any], *, notes: list[str]) -> LogParts:
    parts = LogParts(format=FORMAT, num_rows=len(history), notes=notes)
    for key, name in _FACTS.items():
        if isinstance(document.get(key), (int, float, str)):
            parts.facts[name] = document[key]
    epochs = document.get("num_train_epochs")
    if isinstance(epochs, (int, float)) and 0 < epochs < 1e9:
        parts.total_epochs = int(epochs)
    for group in group_rows(_numbered(history)):
        row = group[0][1]
        if "train_runtime" in row:
            # The summary at the end: means over the run, no point of a curve.
            summary = {key: value for key, value in row.items() if key.startswith("train_")}
            parts.facts.update(
                {key: value for key, value in summary.items() if isinstance(value, (int, float))}
            )
            continue
        # A row of training has its loss bare; all others are evaluations, of the test set too.
        evaluation = "loss" not in row and any(key.startswith("eval_") for key in row)
        mode: Mode = "val" if evaluation else "train"
        parts.records.append(
            make_records(
                group,
                mode=mode,
                epochs=numbers_of(group, "epoch"),
                steps=numbers_of(group, "step"),
                without=("epoch", "step"),
            )
        )
    return parts


def _columns(document: Mapping[str, Any]) -> LogParts | None:
    """A dict of lists of the same length, as Keras' `History.history` is when it is dumped."""
    lists = {name: entries for name, entries in document.items() if isinstance(entries, list) and entries}
    lists = {name: entries for name, entries in lists.items() if not isinstance(entries[0], (list, dict))}
    if not any(is_metric(name) for name in lists):
        return None
    parts = LogParts(format="json_history", num_rows=max(len(entries) for entries in lists.values()))
    counted = next((to_column(entries)[0] for name, entries in lists.items() if is_epoch_name(name)), None)
    for name, entries in lists.items():
        if is_epoch_name(name):
            continue
        values, present = to_column(entries)
        places = np.arange(len(entries))
        epochs = counted if counted is not None and len(counted) == len(places) else places.astype(np.float64)
        column = Column(name=name, mode=mode_of(name), values=values, present=present)
        steps = np.full(len(places), np.nan)
        parts.records.append(Records(rows=places, epochs=epochs, steps=steps, columns=[column]))
    return parts
