"""mmengine's `scalars.json` and `vis_data/<stamp>.json`, and any other log of one JSON object a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdpose.monitor.readers.files import LogText
from sdpose.monitor.readers.json_lines import JsonRow, group_rows, make_records, numbers_of, parse_lines
from sdpose.monitor.readers.log import Floats, Mode
from sdpose.monitor.readers.positions import carried_forward, is_epoch_name, is_step_name, steps_of_run
from sdpose.monitor.readers.records import LogParts, is_metric, line_list

FORMAT = "mmengine_json"
_LR = frozenset(["lr", "base_lr", "learning_rate", "train_lr"])
_SPLITS: Mapping[str, Mode] = {
    **dict.fromkeys(["val", "valid", "validation", "eval", "test"], "val"),
    "train": "train",
}


def read(text: LogText) -> LogParts:
    """One file."""
    rows, skipped = parse_lines(text.lines)
    parts = LogParts(format=FORMAT, num_rows=len(text.lines), notes=list(text.notes))
    if skipped:
        parts.notes.append(f"{line_list(skipped)} left out: no whole JSON object")
    add_rows(parts, rows)
    return parts


def add_rows(parts: LogParts, rows: Sequence[JsonRow]) -> None:
    """Turn objects into records, train and val told apart by what they hold."""
    groups = [group for group in group_rows(rows, kind=_split) if any(is_metric(key) for key in group[0][1])]
    if not groups:
        return
    trains = [_mode(group, groups) == "train" for group in groups]
    keys = [_place_keys(group[0][1]) for group in groups]
    epochs = [
        numbers_of(group, epoch) if epoch else np.full(len(group), np.nan)
        for group, (epoch, _) in zip(groups, keys, strict=True)
    ]
    counters = [
        numbers_of(group, step) if step else np.full(len(group), np.nan)
        for group, (_, step) in zip(groups, keys, strict=True)
    ]
    steps = _training_steps(groups, trains, epochs, counters)
    _place_evaluations(groups, trains, epochs, steps)
    for group, train, place, epoch, step in zip(groups, trains, keys, epochs, steps, strict=True):
        without = [key for key in group[0][1] if is_epoch_name(key) or is_step_name(key)] + [
            key for key in place if key
        ]
        mode: Mode = "train" if train else "val"
        parts.records.append(make_records(group, mode=mode, epochs=epoch, steps=step, without=without))


def _split(row: Mapping[str, Any]) -> Mode | None:
    named = row.get("mode") or row.get("split") or row.get("phase")
    return _SPLITS.get(named.lower()) if isinstance(named, str) else None


def _mode(group: Sequence[JsonRow], groups: Sequence[Sequence[JsonRow]]) -> Mode:
    """An evaluation's line lacks what lines of training have: a learning rate, or a loss and a place."""
    row = group[0][1]
    named = _split(row)
    if named is not None:
        return named
    if _LR & set(row) or not any(_LR & set(other[0][1]) for other in groups):
        return "train"
    has_loss = any("loss" in key.lower() for key in row)
    has_place = any(key in row for key in ("epoch", "iter", "memory"))
    return "train" if has_loss and has_place else "val"


def _place_keys(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The keys of epoch and step; of several steps (`iter`, `step`) the one that says it counts the whole run."""
    epoch = next((key for key in row if is_epoch_name(key)), None)
    steps = [key for key in row if is_step_name(key)]
    steps.sort(key=lambda key: ("global" not in key, key != "step"))
    return epoch, steps[0] if steps else None


def _training_steps(
    groups: Sequence[Sequence[JsonRow]],
    trains: Sequence[bool],
    epochs: Sequence[Floats],
    counters: Sequence[Floats],
) -> list[Floats]:
    """Steps of all groups; those of training from the start of the run, the others as written."""
    training = [index for index, train in enumerate(trains) if train]
    steps = list(counters)
    if training:
        rows = np.concatenate([[number for number, _ in groups[index]] for index in training])
        order = np.argsort(rows, kind="stable")
        joined = steps_of_run(
            np.concatenate([epochs[index] for index in training])[order],
            np.concatenate([counters[index] for index in training])[order],
        )
        placed = np.empty(len(joined))
        placed[order] = joined
        for index, part in zip(
            training, np.split(placed, np.cumsum([len(groups[i]) for i in training])[:-1]), strict=True
        ):
            steps[index] = part
    return steps


def _place_evaluations(
    groups: Sequence[Sequence[JsonRow]], trains: Sequence[bool], epochs: list[Floats], steps: list[Floats]
) -> None:
    """mmengine's evaluations say `step` and mean the epoch when a run counts epochs: put them where they happened."""
    training = [index for index, train in enumerate(trains) if train]
    if not training or all(trains):
        return
    rows = np.concatenate([[number for number, _ in groups[index]] for index in training])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    known_steps = carried_forward(np.concatenate([steps[index] for index in training])[order])
    known_epochs = carried_forward(np.concatenate([epochs[index] for index in training])[order])
    last_epoch, last_step = np.nanmax(known_epochs, initial=0), np.nanmax(known_steps, initial=0)
    for index, train in enumerate(trains):
        if train:
            continue
        before = np.searchsorted(rows, [number for number, _ in groups[index]]) - 1
        step = np.where(before >= 0, known_steps[np.maximum(before, 0)], np.nan)
        epoch = np.where(before >= 0, known_epochs[np.maximum(before, 0)], np.nan)
        own = steps[index]
        if 0 < np.nanmax(own, initial=0) <= last_epoch + 1 < last_step:
            # Lines of training may be rarer than epochs.
            counted = np.round(own * last_step / last_epoch)
            steps[index] = np.where(own == epoch, step, counted)
            epochs[index] = own
        else:
            steps[index] = np.where(np.isfinite(own), own, step)
            epochs[index] = np.where(np.isfinite(epochs[index]), epochs[index], epoch)
