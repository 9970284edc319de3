"""A file's text, whatever its encoding and its size; what is no text is refused."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from sdpose.monitor.readers.log import UnreadableLog

MAX_BYTES = 512 * 2**20
"""Of a larger file the first eighth of this and the end are read."""
_HEAD_BYTES = 2**16
_MAGIC = {
    b"PK\x03\x04": ("a zip archive or a PyTorch checkpoint", "unpack it, or give the log beside it"),
    b"\x1f\x8b": ("gzip-compressed", "unpack it first: gunzip FILE"),
    b"BZh": ("bzip2-compressed", "unpack it first: bunzip2 FILE"),
    b"\xfd7zXZ": ("xz-compressed", "unpack it first: unxz FILE"),
    b"(\xb5/\xfd": ("zstd-compressed", "unpack it first: unzstd FILE"),
    b"\x89PNG": ("a picture", "give the log of the training"),
    b"\xff\xd8\xff": ("a picture", "give the log of the training"),
    b"%PDF": ("a PDF", "give the log of the training"),
    b"SQLite format 3": ("a database", "export its metrics as CSV and give that"),
    b"\x89HDF": ("an HDF5 file", "give the log of the training"),
    b"\x7fELF": ("a program", "give the log of the training"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogText:
    """The text of a file, its lines split at newlines only."""

    lines: list[str]
    ends_whole: bool
    """Whether the last line has its newline: a line that is still being written has none."""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def read_bytes(path: Path) -> tuple[bytes, list[str]]:
    """The content of a file; of a huge one its head and its end, and a note about it."""
    try:
        status = path.stat()
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            raise UnreadableLog(f"{path}: a device, no file; give a log")
        size = status.st_size
        with path.open("rb") as file:
            if size <= MAX_BYTES:
                return file.read(MAX_BYTES), []
            head = file.read(MAX_BYTES // 8)
            file.seek(size - (MAX_BYTES - MAX_BYTES // 8))
            tail = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnreadableLog(f"{path}: {reason}; check the path and its permissions") from error
    skipped = size - len(head) - len(tail)
    note = f"{skipped / 2**20:.0f} MiB in the middle left out: the file is too large; lines are counted without them"
    # Whole lines only: half a line at the seam could read as a wrong number.
    return head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :], [note]


def text_beside(path: Path, *, max_bytes: int) -> str:
    """The beginning of a file that may be there and may tell more; nothing where it does not."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes).decode("utf-8", errors="replace")
    except OSError:
        return ""


def decode(data: bytes, path: Path) -> LogText:
    """The text of a file's content. Raises UnreadableLog for an empty file and for what is no text."""
    if not data.strip(b"\x00 \t\r\n"):
        raise UnreadableLog(f"{path}: the file is empty; has the training written anything yet?")
    for magic, (what, cure) in _MAGIC.items():
        if data.startswith(magic):
            raise UnreadableLog(f"{path}: this is {what}, no training log; {cure}")
    notes = []
    encoding = _encoding(data)
    text = data.decode(encoding, errors="replace")
    if text.startswith("\ufeff"):
        text = text[1:]
    if encoding == "utf-8":
        _refuse_binary(text[:_HEAD_BYTES], path)
    if "\x00" in text:
        # A machine that lost power leaves blocks of zeros in files it was writing.
        notes.append(f"{text.count(chr(0))} zero bytes left out: the machine went down while writing?")
        text = text.replace("\x00", "")
    if not text.strip():
        raise UnreadableLog(f"{path}: the file is empty; has the training written anything yet?")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = text.split("\n")
    ends_whole = lines[-1] == ""
    if ends_whole:
        lines.pop()
    if "\r" in text:
        lines = [line[:-1] if line.endswith("\r") else line for line in lines]
    return LogText(lines=lines, ends_whole=ends_whole, notes=tuple(notes))


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    head = data[:4096]
    # PowerShell's `>` writes UTF-16, some editors without its mark: every other byte is zero then.
    if len(head) >= 8 and head[1::2].count(0) > 0.4 * len(head[1::2]) and head[::2].count(0) == 0:
        return "utf-16-le"
    if len(head) >= 8 and head[::2].count(0) > 0.4 * len(head[::2]) and head[1::2].count(0) == 0:
        return "utf-16-be"
    return "utf-8"


def _refuse_binary(head: str, path: Path) -> None:
    head = head.rstrip("\x00")
    strange = sum(character < " " and character not in "\t\r\n\x08\x1b\x0c" for character in head)
    strange += head.count("\ufffd")
    if strange > 0.1 * len(head):
        raise UnreadableLog(f"{path}: not text; give the log that the training wrote (.log, .json, .csv)")
