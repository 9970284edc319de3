"""Output that may go away while the work goes on: a closed terminal, `| head`, a `tee` that Ctrl-C has ended."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class LastingStream:
    """A text stream. Once nobody reads it any more, what is written goes nowhere and raises nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As of a text file."""
        try:
            return self._stream.write(text)
        except OSError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        """As of a text file."""
        try:
            self._stream.flush()
        except OSError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        """What the stream still holds, and what Python writes at its own end, must not fail again."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_output() -> Iterator[None]:
    """Both standard streams as `LastingStream`: a training is not lost because nobody looks."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = LastingStream(out), LastingStream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
