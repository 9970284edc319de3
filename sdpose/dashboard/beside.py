"""The page beside something else that runs: in a process of its own, which ends with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from sdpose.dashboard.serve import PageServer, bind
from sdpose.dashboard.watcher import Watcher
from sdpose.errors import SdposeError

_HOST = "127.0.0.1"
_START_S = 30.0
_END_S = 5.0
_POLITE = 10


@contextmanager
def page_beside(paths: Sequence[Path], *, port: int) -> Iterator[str]:
    """Serve the runs below `paths`, those that begin later too; gives the address. The page is gone after the block.

    It is seen by this machine only, at `port` or, where that is taken, at any other. It yields to whatever computes.
    Raises SdposeError when it does not start.
    """
    # A fresh interpreter: a copy of this one would hold its threads' locks, and its graphics card.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(tuple(paths), port, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _address(ours)
    finally:
        process.terminate()
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()
        ours.close()


def _address(connection: Connection) -> str:
    try:
        if connection.poll(_START_S):
            return str(connection.recv())
    except EOFError:
        pass
    raise SdposeError("the live page did not start; see it with `sdpose watch` in another terminal")


def _serve(paths: Sequence[Path], port: int, connection: Connection) -> None:
    """In the other process."""
    os.nice(_POLITE)
    try:
        listening = bind(_HOST, port)
    except SdposeError:
        listening = bind(_HOST, 0)
    server = PageServer(Watcher(paths))
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    connection.send(f"http://{_HOST}:{listening.getsockname()[1]}/")
    # A Ctrl-C in the terminal reaches this process as well.
    with listening, contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _end_with_parent(server: PageServer) -> None:
    """However it ended: who is killed tells nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        server.end()
