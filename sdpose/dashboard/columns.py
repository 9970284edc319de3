"""Columns of numbers that grow at the end and may lose their end again, when a run goes back and does it anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdpose.monitor.readers import Series
from sdpose.monitor.readers.log import Floats, Integers, Mode
from sdpose.monitor.readers.numbers import Mask

# After its newest epoch: an evaluation comes behind all iterations of its epoch.
EPOCH = 1e9
_FEW = 1024


class _Places(NamedTuple):
    """Where the values of a series stand: `present` (rows,), the others (n,) of those rows."""

    present: Mask
    steps: Integers
    epochs: Floats
    rows: Integers


class Columns:
    """The train or the val rows of one run, in order.

    `key` (n,) is epoch * 1e9 + iteration: what comes later is larger. A value that a row does not have is absent, which
    is something else than a NaN in the log.
    """

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.num_rows = 0
        self._places: dict[str, NDArray[Any]] = {
            "key": np.empty(_FEW),
            "epoch": np.empty(_FEW),
            "iteration": np.empty(_FEW),
            "row": np.empty(_FEW, dtype=np.int64),
        }
        self._values: dict[str, Floats] = {}
        self._present: dict[str, Mask] = {}

    @property
    def key(self) -> Floats:
        return self._places["key"][: self.num_rows]

    @property
    def epoch(self) -> Floats:
        return self._places["epoch"][: self.num_rows]

    @property
    def iteration(self) -> Floats:
        """As the log counts: usually within the epoch."""
        return self._places["iteration"][: self.num_rows]

    @property
    def row(self) -> Integers:
        return self._places["row"][: self.num_rows]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order in which they came up."""
        return tuple(name for name in self._values if self._present[name][: self.num_rows].any())

    def append(self, places: Mapping[str, NDArray[Any]]) -> int:
        """Add rows by `key`, `epoch`, `iteration` and `row`; returns the index of the first of them."""
        first, added = self.num_rows, len(places["key"])
        self._reserve(first + added)
        for name, column in self._places.items():
            column[first : first + added] = places[name]
        for name, present in self._present.items():
            present[first : first + added] = False
            self._values[name][first : first + added] = np.nan
        self.num_rows += added
        return first

    def fill(self, name: str, indices: NDArray[np.int64], values: Floats, present: Mask) -> None:
        """Set a column where rows have it."""
        if name not in self._values:
            size = len(self._places["key"])
            self._values[name] = np.full(size, np.nan)
            self._present[name] = np.zeros(size, dtype=np.bool_)
        self._values[name][indices] = values
        self._present[name][indices] = present

    def cut(self, key: float) -> int:
        """Take away the rows from `key` on; returns how many there were."""
        kept = int(np.searchsorted(self.key, key, side="left"))
        lost = self.num_rows - kept
        self.num_rows = kept
        return lost

    def series(self, steps: Integers) -> Iterator[Series]:
        """Every column as a series; `steps` (n,) are iterations since the start of the run."""
        # Views where all rows have a value: cheap, and safe, because rows are only added behind them or taken off the
        # end. The others are copies; columns that are absent in the same rows share their places.
        whole = _Places(np.ones(self.num_rows, dtype=np.bool_), steps, self.epoch, self.row)
        known = [whole]
        for name in self.names:
            present = self._present[name][: self.num_rows]
            places = next((each for each in known if np.array_equal(each.present, present)), None)
            if places is None:
                places = _Places(present, steps[present], self.epoch[present], self.row[present])
                known.append(places)
            values = self._column(name) if places is whole else self._column(name)[present]
            yield Series(
                name=name,
                mode=self.mode,
                values=values,
                steps=places.steps,
                epochs=places.epochs,
                rows=places.rows,
            )

    def _column(self, name: str) -> Floats:
        return self._values[name][: self.num_rows]

    def _reserve(self, size: int) -> None:
        capacity = len(self._places["key"])
        if size <= capacity:
            return
        capacity = max(size, 2 * capacity)
        for name, column in self._places.items():
            self._places[name] = np.resize(column, capacity)
        for name, values in self._values.items():
            self._values[name] = np.resize(values, capacity)
            self._present[name] = np.resize(self._present[name], capacity)
