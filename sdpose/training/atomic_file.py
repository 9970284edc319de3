"""Files that are either the old one or the new one, never half of one.

A file is written beside its final place, flushed to the disk, and renamed. Whatever kills the process in
between leaves the old file as it was, and a `.tmp` file that the next run removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sdpose.errors import SdposeError

_SUFFIX = ".tmp"
_STALE_AFTER_S = 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


class StorageError(SdposeError):
    """The disk refused; files that were there before are untouched."""

    def naming(self, option: str) -> SdposeError:
        """The same where another option than a run's --work-dir says where to write."""
        return SdposeError(str(self).replace("--work-dir", option).replace("work_dir", option))


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file that then appears at `path` in one step, safe on the disk when this returns.

    Raises StorageError when the disk is full, read-only or otherwise refuses; `path` is then as it was.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as raw:
            remembering = _RememberingFile(raw)
            try:
                write(remembering)  # type: ignore[arg-type]
            except Exception:
                # torch.save hides the disk's own words behind an error of its archive writer.
                if remembering.error is not None:
                    raise remembering.error from None
                raise
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        _discard(temporary)


def point_to(link: Path, target_name: str) -> None:
    """Make `link` a relative symbolic link to `target_name` in the same folder, in one step.

    Where links cannot be made (some network and removable disks) `link` becomes a copy.
    """
    temporary = _temporary(link)
    try:
        try:
            temporary.symlink_to(target_name)
        except OSError as error:
            if error.errno in _FULL:
                raise
            with open(link.parent / target_name, "rb") as source:
                write_atomically(link, lambda file: shutil.copyfileobj(source, file, 1 << 20))
            return
        temporary.replace(link)
        _sync_folder(link.parent)
    except OSError as error:
        raise storage_error(link, error) from error
    finally:
        _discard(temporary)


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete what killed processes left of `write_atomically` in this folder, and give the paths."""
    removed = []
    for path in folder.glob(f".*{_SUFFIX}"):
        writer = path.name.removesuffix(_SUFFIX).rsplit(".", 2)[1:2]
        if not writer or not writer[0].isdigit():
            continue
        try:
            old = time.time() - path.stat().st_mtime > _STALE_AFTER_S
            if old or int(writer[0]) == os.getpid() or not is_running(int(writer[0])):
                path.unlink()
                removed.append(path)
        except FileNotFoundError:
            continue  # its writer has just finished
    return removed


def storage_error(path: Path, error: OSError) -> StorageError:
    """The disk's refusal as one line with a cure."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        cure = f"free space on the disk of {path.parent}, or point work_dir to another disk"
    elif error.errno in _REFUSED:
        cure = f"make {path.parent} writable, or choose another folder with --work-dir"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        cure = f"a part of {path.parent} is a file, not a folder; choose another folder with --work-dir"
    else:
        cure = f"look at the disk of {path.parent}, or choose another folder with --work-dir"
    return StorageError(f"could not write {path} ({reason}); files already there are untouched; {cure}")


class _RememberingFile:
    """A binary file that remembers the first error of the disk."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is not None:
            raise self.error
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _temporary(path: Path) -> Path:
    # The leading dot keeps it out of *.pth patterns; the process number tells leftovers from files under way.
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{_SUFFIX}")


def _discard(temporary: Path) -> None:
    """Away with it if it is still there; on a read-only disk it cannot be, and the error under way says
    so."""
    with contextlib.suppress(OSError):
        temporary.unlink()


def is_running(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems know no such thing for folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
