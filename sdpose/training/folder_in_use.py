"""One training a folder: two would move each other's checkpoints away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from sdpose.errors import SdposeError
from sdpose.training.atomic_file import storage_error

LOCK = ".training.lock"
# A process that was killed lets go at once; one that is ending writes its report.
WAIT_S = 1.0


@contextlib.contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is missing, for this process alone.

    Raises SdposeError where another process holds it, StorageError where it cannot be written. A lock of the system's:
    it ends with its process, however that ends, and is not handed on to data workers. Where a file system knows no
    locks nothing is held.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise storage_error(path, error) from error
    with file:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError) as error:
                if time.monotonic() > deadline:
                    file.seek(0)
                    holder = file.read().strip() or "unknown"
                    raise SdposeError(
                        f"another training works in {folder} (process {holder}); let it finish, or give this one a "
                        "folder of its own with --work-dir"
                    ) from error
                time.sleep(0.1)
            except OSError:
                break  # no locks here
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
        # Left empty: deleting it would let two processes hold two locks.
        file.truncate(0)
