"""What a reader gives: the named series of a training log, wherever it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

Mode: TypeAlias = Literal["train", "val"]
Floats: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[tuple[int], np.dtype[np.int64]]


class UnreadableLog(ValueError):
    """This is no training log that we can read; one line that says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One named value of a log, only where the log has it; in the order of the file."""

    name: str
    """As the file spells it."""
    mode: Mode
    values: Floats
    """(n,) NaN and infinities exactly where the file says so."""
    steps: Integers
    """(n,) Iterations since the start of the run as the log counts them; 1, 2, 3 ... where it does not say: of the data
    rows of a CSV, of the values of a series elsewhere."""
    epochs: Floats
    """(n,) As the file counts; NaN where it does not say."""
    rows: Integers
    """(n,) Line in the file, 1-based; in a JSON document the 0-based place in its list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLog:
    """One log, read."""

    path: Path
    format: str
    series: tuple[Series, ...]
    notes: tuple[str, ...] = ()
    """What was left out or repaired, in words, with line numbers."""
    restarts: tuple[int, ...] = ()
    """Rows at which counting went back: a second run in the file, or a resumed one."""
    num_rows: int = 0
    """Lines, or entries, that the file has."""
    total_epochs: int | None = None
    """How long the run is meant to be, if the log tells."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else it tells: `lr`, `batch_size`, `config`, `seed`, `files` ... Plain data."""
