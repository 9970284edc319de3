"""A page that is really served, on a free port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sdpose.dashboard.serve import PageServer, bind
from sdpose.dashboard.watcher import Watcher


@contextmanager
def serving(*paths: Path) -> Iterator[str]:
    """The address of a server over `paths`."""
    listening = bind("127.0.0.1", 0)
    server = PageServer(Watcher(paths))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        ends_at = time.monotonic() + 20
        while not server.started and time.monotonic() < ends_at:
            time.sleep(0.02)
        assert server.started
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.end()
        thread.join(timeout=20)
        listening.close()


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """`served(path, ...)` gives an address; the server ends with the test."""
    with ExitStack() as stack:
        yield lambda *paths: stack.enter_context(serving(*paths))
