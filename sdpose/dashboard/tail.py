"""What is new at the end of a file that somebody else writes."""

from __future__ import annotations

from pathlib import Path

# A line that has no end after so many bytes is no line of a log.
_LONGEST_LINE = 2**22


class FileTail:
    """Gives the whole lines of a growing file, each once. A last line without its newline waits for the rest.

    A file that became shorter or was replaced is read from its start again; `restarted` then says so once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Of the file when it was last looked at; 0 where there is none."""
        self.missing = False
        self.restarted = False
        self.refused = ""
        """Why it cannot be read, where the system says so."""
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._stamp: int | None = None

    @property
    def pending(self) -> int:
        """Bytes not read yet, the half of a line that is still being written included."""
        return max(0, self.size - self._offset)

    @property
    def offset(self) -> int:
        """Bytes of whole lines handed out."""
        return self._offset

    def look(self) -> bool:
        """Whether there is anything that was not there at the last look."""
        try:
            status = self.path.stat()
        except OSError:
            changed = not self.missing
            self.missing, self.size = True, 0
            return changed
        identity = (status.st_dev, status.st_ino)
        if self._identity not in (None, identity) or status.st_size < self._offset:
            self._offset = 0
            self._stamp = None
            self.restarted = True
        self.missing, self._identity, self.size = False, identity, status.st_size
        changed = status.st_mtime_ns != self._stamp or self.restarted
        self._stamp = status.st_mtime_ns
        return changed

    def read(self, max_bytes: int) -> bytes:
        """The next whole lines, about `max_bytes` of them; empty when there is no whole one."""
        if self.missing or self.pending == 0:
            return b""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(max_bytes)
                while b"\n" not in data and len(data) < _LONGEST_LINE:
                    more = file.read(max_bytes)
                    if not more:
                        break
                    data += more
        except OSError as error:
            self.missing, self.refused = True, error.strerror or str(error)
            return b""
        self.refused = ""
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) >= _LONGEST_LINE:
            end = len(data)
        self._offset += end
        return data[:end]
