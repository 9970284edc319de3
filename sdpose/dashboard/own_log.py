"""The `*.log.json` of one run, ours or mmcv's, read on as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sdpose.dashboard.columns import EPOCH, Columns
from sdpose.dashboard.regular_lines import read_regular
from sdpose.dashboard.tail import FileTail
from sdpose.monitor.readers import Series, TrainingLog
from sdpose.monitor.readers.json_lines import JsonRow, group_rows, numbers_of, parse_lines
from sdpose.monitor.readers.log import Integers
from sdpose.monitor.readers.mmcv_json import header_facts, sibling_facts
from sdpose.monitor.readers.numbers import to_column, to_float
from sdpose.monitor.readers.positions import counts_within_epoch
from sdpose.monitor.roles import role_of

# Short enough that a page is answered in between: reading holds the interpreter.
_BLOCK = 2**20
# Of a line or two one is as quick by itself.
_FEW_BYTES = 4096
_LARGE = 2**24
_NUM_SAMPLES = 256
_SAMPLE_BYTES = 2**13
_MOST_EVALUATIONS = 3000
# As mmcv and our runs write it.
_VAL = b'"mode": "val"'


class OwnLog:
    """One run over all its parts. Where it goes back, after a repair or a resume, what it does anew replaces the old.

    A large file is first sampled evenly over its length, within a moment; `read` says how much is truly there, and
    `overview` whether what `log` gives is the sample still.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest_at = 0.0
        self.deleted = False
        self._tails: dict[Path, FileTail] = {}
        self._clear()

    def _clear(self) -> None:
        self._train, self._val = Columns("train"), Columns("val")
        self._sample: tuple[Columns, Columns] | None = None
        self._facts: dict[str, Any] = {}
        self._num_lines = 0
        self._num_skipped = 0
        self._num_redone = 0

    @property
    def overview(self) -> bool:
        return self._sample is not None

    @property
    def read(self) -> float:
        """Share of the bytes, 0 to 1."""
        total = sum(tail.size for tail in self._tails.values())
        # Half a line at the end is not ours to wait for.
        return min(1.0, sum(tail.offset for tail in self._tails.values()) / total) if total else 1.0

    @property
    def text_path(self) -> Path | None:
        """The text log of the newest part."""
        newest = max(self._tails, default=None)
        return newest.with_name(newest.name.removesuffix(".json")) if newest else None

    def refresh(self, *, budget_s: float) -> tuple[bool, bool]:
        """Read what is new, for about so long: (whether anything is, whether there is more)."""
        paths = self._paths()
        changed = False
        if paths is None:
            changed, self.deleted = not self.deleted, True
            return changed, False
        self.deleted = False
        for path in paths:
            if path not in self._tails:
                self._tails[path] = FileTail(path)
                changed = True
        ends_at = time.monotonic() + budget_s
        for tail in self._tails.values():
            tail.look()
            if tail.restarted or tail.missing:
                changed |= self._start_again()
                break
        for tail in (self._tails[path] for path in sorted(self._tails)):
            if self._sample is None and tail.pending > _LARGE:
                self._sample = self._sampled(tail)
                return True, True
            while block := tail.read(_BLOCK):
                self._take(block, tail.path)
                changed = True
                if time.monotonic() > ends_at:
                    return True, True
        if self._sample is not None:
            self._sample, changed = None, True
        self._facts.update(self._more_facts())
        return changed, False

    def log(self) -> TrainingLog:
        """What is there so far; raises nothing, and has no series where nothing is."""
        train, val = self._sample or (self._train, self._val)
        train_steps, val_steps, length = self._steps(train, val)
        notes = [
            f"{tail.path.name} cannot be read: {tail.refused}"
            for tail in self._tails.values()
            if tail.refused
        ]
        if self._num_skipped:
            notes.append(f"{counted(self._num_skipped, 'damaged line')} left out")
        if self._num_redone:
            notes.append(f"{counted(self._num_redone, 'row')} of attempts that the run went back on left out")
        facts = {**self._facts, "epoch_length": length} if length else dict(self._facts)
        return TrainingLog(
            path=self.folder,
            format="sdpose" if self._facts.get("trainer") == "sdpose" else "mmcv_logjson",
            series=(*train.series(train_steps), *val.series(val_steps)),
            notes=tuple(notes),
            num_rows=self._num_lines,
            total_epochs=self._facts.get("total_epochs"),
            facts=facts,
        )

    def _paths(self) -> list[Path] | None:
        try:
            found = sorted(self.folder.glob("*.log.json"))
            self.newest_at = max((path.stat().st_mtime for path in found), default=self.newest_at)
        except OSError:
            return None
        return found or None

    def _start_again(self) -> bool:
        """A part was taken away or written anew: what came of it is no longer known, so all is read once more."""
        known = [path for path, tail in self._tails.items() if not tail.missing]
        self._tails = {path: FileTail(path) for path in known}
        for tail in self._tails.values():
            tail.look()
        self._clear()
        return True

    def _take(self, block: bytes, path: Path) -> None:
        """Put a block of whole lines into the tables: lines of one shape in bulk, the others one by one."""
        regular = read_regular(block) if len(block) >= _FEW_BYTES else None
        if regular is None:
            self._take_rows(block, path)
            return
        done = 0
        # Stretches of lines that follow each other.
        edges = np.flatnonzero(np.diff(regular.lines) != 1) + 1
        for first, end in pairwise([0, *edges.tolist(), len(regular.lines)]):
            if end == first:
                continue
            begins, ends = regular.lines[first], regular.lines[end - 1] + 1
            self._take_rows(block[done : regular.starts[begins]], path)
            lines = np.arange(ends - begins) + self._num_lines + 1
            self._num_redone += _add_regular(
                regular.names, regular.values[first:end], lines, self._train, self._val
            )
            self._num_lines += int(ends - begins)
            done = int(regular.ends[ends - 1])
        self._take_rows(block[done:], path)

    def _take_rows(self, block: bytes, path: Path) -> None:
        if block:
            rows = self._parse(block)
            self._note_header(rows, path)
            self._num_redone += _add(rows, self._train, self._val)

    def _parse(self, block: bytes) -> list[JsonRow]:
        text = block.decode("utf-8", errors="replace").replace("\x00", "")
        lines = text.split("\n")
        rows, skipped = parse_lines(lines)
        self._num_skipped += len(skipped)
        numbered = [(number + self._num_lines, row) for number, row in rows]
        self._num_lines += len(lines) - 1
        return numbered

    def _note_header(self, rows: Sequence[JsonRow], path: Path) -> None:
        header = [(number, row) for number, row in rows[:5] if "mode" not in row]
        if header:
            self._facts.update(header_facts(header) | sibling_facts(path))

    def _more_facts(self) -> dict[str, Any]:
        """The text log says the length of an epoch and of the run with its first lines, after the JSON's header."""
        newest = max(self._tails, default=None)
        if newest is None or {"epoch_length", "total_epochs"} <= self._facts.keys():
            return {}
        return sibling_facts(newest)

    def _steps(self, train: Columns, val: Columns) -> tuple[Integers, Integers, int | None]:
        """Iterations since the start of the run, of both tables, and of an epoch where it is known."""
        length = self._facts.get("epoch_length")
        if length is None and train.num_rows and counts_within_epoch(train.epoch, train.iteration):
            length = int(train.iteration.max())
        if length is None:
            last = np.searchsorted(train.key, val.key) - 1
            steps = train.iteration.astype(np.int64)
            at_end = steps[np.maximum(last, 0)] if len(steps) else val.iteration.astype(np.int64)
            return steps, at_end, None
        within = (train.epoch - 1) * length + train.iteration
        return within.astype(np.int64), (val.epoch * length).astype(np.int64), int(length)

    def _sampled(self, tail: FileTail) -> tuple[Columns, Columns]:
        """Whole lines from places spread over a large file: enough for a picture of it."""
        train, val = Columns("train"), Columns("val")
        pieces = []
        with tail.path.open("rb") as file:
            for place in np.linspace(0, tail.size - _SAMPLE_BYTES, _NUM_SAMPLES).astype(int):
                file.seek(int(place))
                piece = file.read(_SAMPLE_BYTES)
                start = 0 if place == 0 else piece.find(b"\n") + 1
                pieces.append(piece[start : piece.rfind(b"\n") + 1])
            pieces += _evaluations(file)
        rows, _ = parse_lines(b"".join(pieces).decode("utf-8", errors="replace").split("\n"))
        self._note_header(rows, tail.path)
        self._facts.update(self._more_facts())
        # By their place in the run: the evaluations come last here, and the last attempt at a place counts.
        _add([entry for entry in rows if entry[1].get("mode") == "train"], train, Columns("val"))
        _add([entry for entry in rows if entry[1].get("mode") == "val"], Columns("train"), val)
        return train, val


def counted(number: int, thing: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _evaluations(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of evaluations, which are rare: a sample would miss them. Of a large file the first 3000."""
    file.seek(0)
    found = 0
    rest = b""
    while (block := file.read(_LARGE)) and found < _MOST_EVALUATIONS:
        block = rest + block
        end = block.rfind(b"\n") + 1
        place = block.find(_VAL, 0, end)
        while place >= 0 and found < _MOST_EVALUATIONS:
            stop = block.find(b"\n", place) + 1
            yield block[block.rfind(b"\n", 0, place) + 1 : stop]
            found += 1
            place = block.find(_VAL, stop, end)
        rest = block[end:]


def _add_regular(
    names: Sequence[str],
    values: NDArray[np.float64],
    lines: NDArray[np.int64],
    train: Columns,
    val: Columns,
) -> int:
    """`_add` for training rows of one shape: `values` (n, m), a column a name."""
    epochs, iterations = values[:, names.index("epoch")], values[:, names.index("iter")]
    keys = epochs * EPOCH + iterations
    lost = 0
    falls = np.flatnonzero(np.diff(keys) <= 0) + 1
    for first, end in pairwise([0, *falls.tolist(), len(keys)]):
        lost += train.cut(keys[first]) + val.cut(keys[first])
        places = {"key": keys, "epoch": epochs, "iteration": iterations, "row": lines}
        base = train.append({name: column[first:end] for name, column in places.items()})
        indices = np.arange(base, base + end - first)
        for index, name in enumerate(names):
            if name not in ("epoch", "iter"):
                train.fill(name, indices, values[first:end, index], np.ones(end - first, dtype=np.bool_))
    return lost


def _add(rows: Sequence[JsonRow], train: Columns, val: Columns) -> int:
    """Put rows into the two tables; returns how many older rows they replace."""
    placed = [entry for entry in rows if entry[1].get("mode") in ("train", "val") and _is_placed(entry[1])]
    if not placed:
        return 0
    epochs, iterations = numbers_of(placed, "epoch"), numbers_of(placed, "iter")
    training = np.array([row["mode"] == "train" for _, row in placed], dtype=np.bool_)
    keys = epochs * EPOCH + np.where(training, iterations, EPOCH)
    lines = np.array([number for number, _ in placed], dtype=np.int64)
    lost = 0
    # Stretches that only go forward; at the start of each the run may have gone back.
    falls = np.flatnonzero(np.diff(keys) <= 0) + 1
    edges = [0, *falls.tolist(), len(placed)]
    for first, end in pairwise(edges):
        for table, mine in ((train, training[first:end]), (val, ~training[first:end])):
            if training[first]:
                lost += table.cut(keys[first])
            elif table is val:
                lost += val.cut(keys[first])
            chosen = np.flatnonzero(mine) + first
            if len(chosen):
                _fill(table, [placed[index] for index in chosen], keys, epochs, iterations, lines, chosen)
    return lost


def _fill(
    table: Columns,
    rows: list[JsonRow],
    keys: NDArray[np.float64],
    epochs: NDArray[np.float64],
    iterations: NDArray[np.float64],
    lines: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> None:
    places = {"key": keys, "epoch": epochs, "iteration": iterations, "row": lines}
    base = table.append({name: column[chosen] for name, column in places.items()})
    index_of = {number: base + index for index, (number, _) in enumerate(rows)}
    for group in group_rows(rows):
        indices = np.array([index_of[number] for number, _ in group], dtype=np.int64)
        columns = zip(*[row.values() for _, row in group], strict=True)
        for name, cells in zip(group[0][1], columns, strict=True):
            if name in ("mode", "epoch", "iter") or not _is_number(cells[0]):
                continue
            values, present = to_column(cells)
            if table.mode == "val" and role_of(name, "val").meaning == "score":
                # COCO's word for 'no such objects'.
                present &= values != -1.0
            table.fill(name, indices, values, present)


def _is_placed(row: dict[str, Any]) -> bool:
    return all(type(row.get(name)) in (int, float) and np.isfinite(row[name]) for name in ("epoch", "iter"))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or (isinstance(value, str) and to_float(value) is not None)


__all__ = ["OwnLog", "Series"]
