"""One training a folder: two would move each other's checkpoints away."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sdpose.errors import SdposeError
from sdpose.training.atomic_file import storage_error

LOCK = ".training.lock"
# A process that is ending still writes its report; one that was killed lets go at once.
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
        file = _locked(path)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    except OSError as error:
        raise storage_error(path, error) from error
    with file:
        yield
        # While it is still held: who waited for it sees that the file is gone, and makes another.
        with contextlib.suppress(OSError):
            path.unlink()


def _locked(path: Path) -> IO[str]:
    deadline = time.monotonic() + WAIT_S
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            with file:
                file.seek(0)
                holder = file.read().strip() or "unknown"
            if time.monotonic() > deadline:
                raise SdposeError(
                    f"another training works in {path.parent} (process {holder}); let it finish, or give this one a "
                    "folder of its own with --work-dir"
                ) from error
            time.sleep(0.1)
            continue
        except OSError:
            return file  # no locks here
        if _is_the_file(path, file):
            return file
        file.close()


def _is_the_file(path: Path, file: IO[str]) -> bool:
    """Whether `path` still names it: its last holder may have deleted it in between."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
