"""A folder: a run of ours or of mmcv, merged over its resumes, or the newest log of another trainer in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdpose.monitor.readers import mmcv_json, tensorboard
from sdpose.monitor.readers.files import decode, read_bytes, text_beside
from sdpose.monitor.readers.json_lines import JsonRow, parse_lines
from sdpose.monitor.readers.log import TrainingLog, UnreadableLog
from sdpose.monitor.readers.records import LogParts, assemble, line_list

FORMAT = "sdpose"
_ALERT_BYTES = 2**24
# What trainers call their logs, the most telling first.
_PATTERNS = (
    "vis_data/scalars.json",
    "*/vis_data/scalars.json",
    "vis_data/*.json",
    "*/vis_data/*.json",
    "metrics.csv",
    "*/metrics.csv",
    "lightning_logs/*/metrics.csv",
    "results.csv",
    "*/results.csv",
    "trainer_state.json",
    "checkpoint-*/trainer_state.json",
    "*log*.csv",
    "*history*.csv",
    "*.csv",
    "*.jsonl",
    "*.log",
    "*log*.txt",
)


def read_folder(folder: Path, *, whole_lines: bool) -> TrainingLog:
    """The run in a folder. Raises UnreadableLog where there is none."""
    ours = sorted(folder.glob("*.log.json"))
    if ours:
        return _merge(folder, ours, whole_lines=whole_lines)
    events = sorted(folder.glob("*tfevents*"))
    logs, others = _newest(folder)
    if logs is None and not events:
        events = sorted(folder.glob("*/*tfevents*"))[-1:]
    if logs is None and events:
        parts = tensorboard.read([read_bytes(path)[0] for path in events])
        return assemble(folder, parts)
    if logs is None:
        raise UnreadableLog(
            f"{folder}: no training log in this folder; looked for *.log.json, vis_data/*.json, metrics.csv, "
            "results.csv, trainer_state.json, *.csv, *.log and TensorBoard events: name the file itself"
        )
    from sdpose.monitor.readers.detect import read_file

    log = read_file(logs, whole_lines=whole_lines)
    also = f"; {len(others)} more there, name one to read it: {others[0]}" if others else ""
    return replace(log, notes=(f"read {logs}{also}", *log.notes))


def _newest(folder: Path) -> tuple[Path | None, list[Path]]:
    for pattern in _PATTERNS:
        found = [path for path in folder.glob(pattern) if path.is_file() and path.stat().st_size]
        if found:
            found.sort(key=lambda path: (path.stat().st_mtime, _natural(path)))
            return found[-1], found[-2::-1]
    return None, []


def _natural(path: Path) -> list[Any]:
    """`version_10` after `version_9`, where files were copied in the same second."""
    digits = "".join(character if character.isdigit() else " " for character in str(path))
    return [int(number) for number in digits.split()]


def _merge(folder: Path, paths: Sequence[Path], *, whole_lines: bool) -> TrainingLog:
    """One run from the logs of its parts: what a resumed part did again replaces what stood there before.

    Rows count through all files, in order.
    """
    merged: list[JsonRow] = []
    parts = LogParts(format=FORMAT, num_rows=0)
    files: list[tuple[str, int]] = []
    facts: dict[str, Any] = {}
    for path in paths:
        data, notes = read_bytes(path)
        if not data.strip():
            parts.notes.append(f"{path.name} is empty")
            continue
        text = decode(data, path)
        lines = text.lines[:-1] if whole_lines and not text.ends_whole else text.lines
        rows, skipped = parse_lines(lines)
        parts.notes += [f"{path.name}: {note}" for note in (*notes, *text.notes)]
        if skipped:
            parts.notes.append(f"{path.name}: {line_list(skipped)} left out: no whole JSON object")
        facts.update(mmcv_json.header_facts(rows) | mmcv_json.sibling_facts(path))
        numbered = [(number + parts.num_rows, row) for number, row in rows]
        kept = _before(merged, numbered)
        if len(kept) < len(merged):
            parts.notes.append(
                f"{path.name} did {len(merged) - len(kept)} entries of earlier files again: they count"
            )
        merged = kept + numbered
        files.append((path.name, parts.num_rows + 1))
        parts.num_rows += len(text.lines)
    parts.facts.update(facts, files=files)
    if facts.get("trainer") != "sdpose":
        parts.format = mmcv_json.FORMAT
    mmcv_json.add_entries(parts, merged, epoch_length=parts.facts.pop("epoch_length", None))
    parts.total_epochs = parts.facts.get("total_epochs")
    rows, _ = parse_lines(text_beside(folder / "alerts.jsonl", max_bytes=_ALERT_BYTES).split("\n"))
    if rows:
        parts.facts["alerts"] = [row for _, row in rows]
    return assemble(folder, parts)


def _before(earlier: list[JsonRow], later: list[JsonRow]) -> list[JsonRow]:
    """The entries that a part which starts at the first place of `later` has not done again."""
    start = next((_place(row) for _, row in later if row.get("mode") == "train"), None)
    if start is None:
        return earlier
    kept = []
    for number, row in earlier:
        place = _place(row)
        if row.get("mode") == "val":
            # An evaluation stands at the end of its epoch.
            place = (place[0] + 1, 0.0)
        if "mode" not in row or place < start:
            kept.append((number, row))
    return kept


def _place(row: dict[str, Any]) -> tuple[float, float]:
    epoch, iteration = row.get("epoch"), row.get("iter")
    return (
        float(epoch) if isinstance(epoch, (int, float)) else 0.0,
        float(iteration) if isinstance(iteration, (int, float)) else 0.0,
    )
