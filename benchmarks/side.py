"""One side of a comparison in a process of its own, so that what it does to its process leaves the other side alone.

Memory settings of the C library, thread counts and patched modules belong to a process. Both sides are started once,
then take turns; each measures its own runs: processor time with one thread, so that a busy machine does not count, wall
time with more.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import torch

from sdpose.models import keep_freed_memory

Make = Callable[..., Callable[[], Any]]


class Side:
    """A new process to run things in; leaving the context ends it.

    `spent_s` are the seconds of all calls so far, `result` is what the last one gave.
    """

    def __init__(self, *, threads: int = 1, keep_memory: bool = True) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads, keep_memory), daemon=True)
        self._num_made = 0
        self.spent_s = 0.0
        self.result: Any = None
        self._process.start()
        theirs.close()

    def made(self, make: Make, *args: Any) -> Callable[[], Any]:
        """`make(*args)`, a function of a module, gives there what every call of the answer runs there.

        The call gives its result. Raises EOFError when the process has died of an error, shown on stderr.
        """
        self._connection.send((make, args))
        number, self._num_made = self._num_made, self._num_made + 1

        def run() -> Any:
            self._connection.send(number)
            elapsed_s, self.result = self._connection.recv()
            self.spent_s += elapsed_s
            return self.result

        return run

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def clock_of(sides: Sequence[Side]) -> Callable[[], float]:
    """The clock for `ratio.in_turns`: seconds that the sides measured themselves."""
    return lambda: sum(side.spent_s for side in sides)


def _serve(connection: Any, threads: int, keep_memory: bool) -> None:
    torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()
    runs: list[Callable[[], Any]] = []
    clock = time.process_time if threads == 1 else time.perf_counter
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        if isinstance(asked, tuple):
            make, args = asked
            runs.append(make(*args))
            continue
        started_at = clock()
        result = runs[asked]()
        connection.send((clock() - started_at, result))
