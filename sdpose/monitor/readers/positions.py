"""Where in its run a row stands: steps since the start, from whatever counters a log has."""

from __future__ import annotations

import re

import numpy as np

from sdpose.monitor.readers.log import Floats

_EPOCH_NAMES = frozenset(["epoch", "epochs", "ep", "currentepoch", "epochnum", "epochnumber"])
_STEP_NAMES = frozenset(
    [
        "step",
        "steps",
        "globalstep",
        "iter",
        "iters",
        "iteration",
        "iterations",
        "it",
        "batch",
        "batchid",
        "batchidx",
        "batchindex",
        "batchnum",
        "update",
        "updates",
        "numupdates",
        "trainerglobalstep",
        "totaltimesteps",
        "numtimesteps",
        "timesteps",
        "timestep",
        "trainstep",
        "trainiter",
    ]
)


def is_epoch_name(name: str) -> bool:
    """Whether a column of this name counts epochs."""
    return re.sub(r"[\W_]", "", name.lower()) in _EPOCH_NAMES


def is_step_name(name: str) -> bool:
    """Whether a column of this name counts steps, from the start of the run or of its epoch."""
    return re.sub(r"[\W_]", "", name.lower()) in _STEP_NAMES


def steps_of_run(epochs: Floats, counters: Floats, *, epoch_length: int | None = None) -> Floats:
    """Steps since the start of the run: (n,) from (n,) epochs and (n,) counters, in the order of the file.

    A counter that starts again with each epoch is one within the epoch; its epochs are taken to be
    `epoch_length` long, or as long as it ever counts. Any other counter is the answer already.
    """
    if epoch_length is None and not counts_within_epoch(epochs, counters):
        return counters
    known = np.isfinite(epochs) & np.isfinite(counters)
    if not known.any():
        return counters
    from_zero = counters[known].min() == 0
    length = epoch_length or int(counters[known].max()) + int(from_zero)
    first = 0.0 if epochs[known].min() < 1 else 1.0
    return np.where(known, (np.floor(epochs) - first) * length + counters, np.nan)


def counts_within_epoch(epochs: Floats, counters: Floats) -> bool:
    """Whether a counter goes back when the epoch goes on, more often than not; or is the same in all epochs."""
    known = np.isfinite(epochs) & np.isfinite(counters)
    if known.sum() < 2:
        return False
    later = np.diff(np.floor(epochs[known])) > 0
    changes = np.diff(counters[known])
    return bool(later.any()) and (float((changes[later] < 0).mean()) > 0.5 or not changes.any())


def carried_forward(values: Floats) -> Floats:
    """Each (n,) value, or where it is NaN the last one before it."""
    last = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)
