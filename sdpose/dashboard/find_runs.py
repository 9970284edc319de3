"""Which runs lie below the folders that the user named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Below work_dirs/<group>/<run> nobody keeps runs; a data set there may have a million files.
_DEEPEST = 4
_FOREIGN = ("metrics.csv", "results.csv", "trainer_state.json", "scalars.json")
_NO_RUNS_IN = {"incidents", "evaluations", "node_modules", "site-packages", "annotations"}
_MOST_ENTRIES = 3000


def find_runs(paths: Sequence[Path]) -> Iterator[tuple[str, Path, bool]]:
    """(id, path, whether it has `*.log.json`) of every run, in the order of the paths and then of their names.

    A path that is a file is the log of a run itself. The id says nothing about the path and stays the same.
    """
    seen = set()
    for path in paths:
        for run, own in _below(path, _DEEPEST) if path.is_dir() else [(path, False)]:
            identity = run_id(run)
            if identity not in seen:
                seen.add(identity)
                yield identity, run, own


def run_id(path: Path) -> str:
    """A short word for a path."""
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:12]


def _below(folder: Path, depth: int) -> Iterator[tuple[Path, bool]]:
    try:
        with os.scandir(folder) as entries:
            names: dict[str, bool] = {}
            for entry in entries:
                names[entry.name] = entry.is_dir()
                if len(names) >= _MOST_ENTRIES:
                    break
    except OSError:
        return
    if any(name.endswith(".log.json") for name, is_folder in names.items() if not is_folder):
        yield folder, True
        return
    if any(name in _FOREIGN or "tfevents" in name for name, is_folder in names.items() if not is_folder):
        yield folder, False
        return
    if depth == 0:
        return
    for name in sorted(name for name, is_folder in names.items() if is_folder):
        if not name.startswith(".") and name not in _NO_RUNS_IN:
            yield from _below(folder / name, depth - 1)
