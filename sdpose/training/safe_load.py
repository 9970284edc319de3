"""Opening a .pth file that may be damaged, foreign or hostile.

`torch.load(weights_only=True)` is the only door: no code of the file is ever run. Official mmcv checkpoints
carry one numpy number in their bookkeeping; the stand-ins below read it as a plain Python number. Whatever
goes wrong is told apart and said in one line.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from sdpose.errors import SdposeError, nearest

_ZIP_HEAD = b"PK\x03\x04"
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    UnicodeDecodeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
# How torch.save began its files before torch 1.6, the pickled magic number included.
_LEGACY_HEAD = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_STRUCT_CODES = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "b1": "?"}
_STRUCT_CODES |= {"u8": "Q", "u4": "I", "u2": "H", "u1": "B"}


class DamagedFileError(SdposeError):
    """The file was a checkpoint once, but part of it is missing or changed."""


class _NumberType:
    """Stands in for numpy.dtype while a file is read: keeps the name and the byte order."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _number(kind: _NumberType, raw: bytes) -> float | int | bool:
    """Stands in for numpy's scalar constructor while a file is read."""
    code = _STRUCT_CODES.get(kind.name)
    if code is None:
        raise UnpicklingError(f"a numpy value of type {kind.name}")
    return struct.unpack(kind.order + code, raw)[0]


_STAND_INS: list[Any] = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy._core.multiarray.scalar"),  # numpy 2
    (_number, "numpy.core.multiarray.scalar"),  # numpy 1
]


def load_file(path: Path, *, lazily: bool = False) -> Any:
    """Content of a .pth file, on the CPU.

    `lazily` leaves tensor bytes on the disk until they are looked at, to read only the bookkeeping. Raises
    SdposeError; its kind DamagedFileError when bytes are missing or wrong.
    """
    _refuse_what_is_no_file(path)
    _refuse_what_is_no_checkpoint(path)
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            mapped = lazily and _starts_with(path, _ZIP_HEAD)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise SdposeError(
            f"could not read {path} ({error.strerror or error}); check the disk and its permissions"
        ) from error
    except UnpicklingError as error:
        raise _explained(path, str(error)) from error
    except Exception as error:
        # Changed bytes inside the pickle surface as nearly any exception; the first line of it is kept.
        raise _damaged(path, _first_line(error)) from error


def check_zip_sums(path: Path) -> None:
    """Compare the stored checksums of a zip-format file with its bytes, which torch.load does not do."""
    if not _starts_with(path, _ZIP_HEAD):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except _ZIP_ERRORS as error:
        raise _damaged(path, _first_line(error)) from error
    if broken is not None:
        raise _damaged(path, f"the bytes of {broken} have changed")


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        raise SdposeError(
            f"{path} is a folder; name a checkpoint file in it, for example {path / 'latest.pth'}"
        )
    if path.is_symlink() and not path.exists():
        raise SdposeError(f"{path} points to {path.readlink()}, which is gone; {_offer(path)}")
    if not path.exists():
        if re.match(r"\w{2,}:/", str(path)):
            raise SdposeError(f"{path} is an address; download the file first and give its path")
        raise SdposeError(f"there is no checkpoint {path}; {_offer(path)}")


def _refuse_what_is_no_checkpoint(path: Path) -> None:
    """Tell by the first bytes, so that the message is about the file and not about pickles."""
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise SdposeError(
            f"could not read {path} ({error.strerror}); check the disk and its permissions"
        ) from error
    if not head:
        raise _damaged(path, "it is empty")
    if head.startswith(_ZIP_HEAD):
        names = _zip_names(path)
        if not any(name.endswith("/data.pkl") for name in names):
            raise _foreign(path, f"a zip archive with {names[0] if names else 'nothing'} inside")
        if any(name.endswith("/constants.pkl") for name in names):
            raise _foreign(path, "a TorchScript program")
    elif not head.startswith(_LEGACY_HEAD):
        if not head.strip(b"\0"):
            raise _damaged(path, "it begins with zeros, as after a full disk or a power cut")
        kinds = ((b"\x80", "a Python pickle"), (b"\x89HDF", "an HDF5 file"), (b"\x1f\x8b", "a gzip file"))
        known = next((name for start, name in kinds if head.startswith(start)), None)
        raise _foreign(path, known or ("a text file" if _is_text(head) else "something else"))


def _zip_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except _ZIP_ERRORS as error:
        torn = "not a zip file" in str(error)
        reason = "its end is missing, as after an interrupted copy" if torn else _first_line(error)
        raise _damaged(path, reason) from error


def _explained(path: Path, reason: str) -> SdposeError:
    """torch's refusal, told apart: code that wants to run, or changed bytes."""
    found = re.search(r"(?:Unsupported|Trying to load unsupported) (?:global: )?GLOBAL ([\w.]+)", reason)
    if found:
        return SdposeError(
            f"{path} asks to run {found[1]} while being loaded, which is refused: a checkpoint holds only "
            f"tensors "
            "and plain values; take it from its publisher again, or save its weights alone where you trust it"
        )
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    told = next((line for line in lines if "Unsupported" in line), lines[0] if lines else "no reason given")
    return _damaged(path, told.split("Please file")[0][:160].strip())


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is damaged ({reason}); copy it again from its source, or use another checkpoint"
    )


def _foreign(path: Path, what: str) -> SdposeError:
    return SdposeError(
        f"{path} is {what}, not a checkpoint; expected a .pth file written by sdpose, mmcv or torch.save"
    )


def _offer(path: Path) -> str:
    """What there is instead: the nearest name, or the files in that folder, or the lack of the folder."""
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either; check the path"
    names = sorted(entry.name for entry in folder.glob("*.pth") if entry.exists())
    if not names:
        return f"{folder} holds no .pth file; check the path"
    shown = ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")
    return f"{folder} holds {shown}.{nearest(path.name, names)}"


def _starts_with(path: Path, head: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(head)) == head


def _is_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
