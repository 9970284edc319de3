"""mmcv 1.x's `*.log.json`, which our runs write as well: one object a line, `mode`, `epoch` and `iter` in each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdpose.monitor.readers.files import LogText, text_beside
from sdpose.monitor.readers.json_lines import JsonRow, group_rows, make_records, numbers_of, parse_lines
from sdpose.monitor.readers.log import Floats, Mode
from sdpose.monitor.readers.positions import counts_within_epoch, steps_of_run
from sdpose.monitor.readers.records import LogParts, facts_in_text, line_list

FORMAT = "mmcv_logjson"
_PLACE = ("mode", "epoch", "iter")
_MODES: Mapping[str, Mode] = {"train": "train", "val": "val", "test": "val"}
_SIBLING_LINE = re.compile(r"Epoch \[\d+\]\[\d+/(\d+)\]")
_SIBLING_LENGTH = re.compile(r"\bmax: (\d+) epochs")
_SIBLING_BYTES = 2**19


def read(text: LogText, path: Path) -> LogParts:
    """One file."""
    rows, skipped = parse_lines(text.lines)
    parts = LogParts(format=FORMAT, num_rows=len(text.lines), notes=list(text.notes))
    if skipped:
        parts.notes.append(f"{line_list(skipped)} left out: no whole JSON object")
    parts.facts.update(header_facts(rows))
    sibling = sibling_facts(path)
    add_entries(parts, rows, epoch_length=sibling.pop("epoch_length", None))
    parts.facts.update(sibling)
    parts.total_epochs = parts.facts.get("total_epochs")
    return parts


def add_entries(parts: LogParts, rows: Sequence[JsonRow], *, epoch_length: int | None) -> None:
    """Turn train and val entries into records. `epoch_length`: iterations, None when nobody knows."""
    entries = [entry for entry in rows if _MODES.get(str(entry[1].get("mode"))) is not None]
    if not entries:
        return
    epochs, counters = numbers_of(entries, "epoch"), numbers_of(entries, "iter")
    training = np.array([entry["mode"] == "train" for _, entry in entries], dtype=np.bool_)
    steps = np.full(len(entries), np.nan)
    within = counts_within_epoch(epochs[training], counters[training]) or epoch_length is not None
    if within and training.any():
        length = epoch_length or _longest(epochs, counters, training)
        steps[training] = steps_of_run(epochs[training], counters[training], epoch_length=length)
        # The `iter` of an evaluation counts its own batches; it belongs to the end of its epoch.
        steps[~training] = epochs[~training] * length
        parts.facts["epoch_length"] = length
    else:
        steps[:] = counters
        _keep_up(steps, training)
    places = {number: index for index, (number, _) in enumerate(entries)}
    for group in group_rows(entries, kind=lambda entry: entry["mode"]):
        index = np.array([places[number] for number, _ in group], dtype=np.int64)
        mode = _MODES[str(group[0][1]["mode"])]
        parts.records.append(
            make_records(group, mode=mode, epochs=epochs[index], steps=steps[index], without=_PLACE)
        )


def _longest(epochs: Floats, counters: Floats, training: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    """The length of an epoch: the last line of one, unless an evaluation (of old mmcv) tells a little more."""
    trained = counters[training & np.isfinite(counters)]
    longest = int(trained.max()) if len(trained) else 1
    interval = int(np.min(trained)) if len(trained) else 1
    told = counters[~training & np.isfinite(counters)]
    if len(told) and longest <= told.max() < longest + interval:
        longest = int(told.max())
    return max(longest, 1)


def _keep_up(steps: Floats, training: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    """An evaluation between lines of training happened at the step of the last of them."""
    last = np.nan
    for index, trains in enumerate(training):
        if trains:
            last = steps[index]
        elif np.isfinite(last):
            steps[index] = last


def header_facts(rows: Sequence[JsonRow]) -> dict[str, Any]:
    """What the entries without a mode tell: mmcv writes the config, the seed and the experiment's name."""
    facts: dict[str, Any] = {}
    for _, entry in rows[:5]:
        if "mode" in entry:
            continue
        if isinstance(entry.get("config"), str):
            facts.update(facts_in_text(entry["config"]))
        if isinstance(entry.get("seed"), int):
            facts["seed"] = entry["seed"]
        if isinstance(entry.get("exp_name"), str):
            facts["config"] = entry["exp_name"]
        if "sdpose:" in str(entry.get("env_info", "")):
            facts["trainer"] = "sdpose"
    return facts


def sibling_facts(path: Path) -> dict[str, Any]:
    """`epoch_length`, `total_epochs` and more from the text log beside `X.log.json`, `X.log`."""
    sibling = path.with_name(path.name.removesuffix(".json"))
    if not path.name.endswith(".log.json"):
        return {}
    text = text_beside(sibling, max_bytes=_SIBLING_BYTES)
    facts = facts_in_text(text)
    line, length = _SIBLING_LINE.search(text), _SIBLING_LENGTH.search(text)
    if line:
        facts["epoch_length"] = int(line[1])
    if length:
        facts["total_epochs"] = int(length[1])
    return facts
