"""Which runs lie below some folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Below work_dirs/<group>/<run> nobody keeps runs; a data set there may have a million files.
_DEEPEST = 4
_FOREIGN = ("metrics.csv", "results.csv", "trainer_state.json", "scalars.json")
_NO_RUNS_IN = {"incidents", "evaluations", "tf_logs", "node_modules", "site-packages", "annotations"}
# What a run put away: older checkpoints, and those of a way that a repair left.
_PUT_AWAY = ("previous_", "left_")
_MOST_ENTRIES = 3000


def find_runs(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """(path, whether it is a folder with `*.log.json`) of every run, in the order of the paths and then of their names.

    A path that is a file is the log of a run itself.
    """
    seen = set()
    for path in paths:
        for run, own in _below(path, _DEEPEST) if path.is_dir() else [(path, False)]:
            if run.absolute() not in seen:
                seen.add(run.absolute())
                yield run, own


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
    elif any(name in _FOREIGN or "tfevents" in name for name, is_folder in names.items() if not is_folder):
        # Its parts (a version, an epoch) are no runs of their own.
        yield folder, False
        return
    if depth == 0:
        return
    for name in sorted(name for name, is_folder in names.items() if is_folder):
        if not name.startswith((".", *_PUT_AWAY)) and name not in _NO_RUNS_IN:
            yield from _below(folder / name, depth - 1)
