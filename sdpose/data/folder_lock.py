"""One writer a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait for whoever writes to `folder`, which need not exist. Raises OSError where no file can be written beside it.

    `on_wait` is called when somebody does. The lock file stays: deleting it would let two processes hold two locks.
    """
    with open(lock_file(folder), "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def lock_file(folder: Path) -> Path:
    """What `locked` leaves beside `folder`."""
    return folder.with_name(f".{folder.name}.lock")
