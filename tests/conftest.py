"""Paths and guards shared by the tests."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import warm_python

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SDPOSE_SHARED", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real photographs, logs and annotations; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the shared data folder, not found at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def parity() -> Path:
    """Reference numbers of the published model (a copy that lives in the repository)."""
    return REPOSITORY / "tests" / "fixtures" / "parity"


def pytest_configure(config: pytest.Config) -> None:
    """Start the process whose forks are the warm starts of all workers; it imports nothing before it is asked."""
    if hasattr(config, "workerinput") or not hasattr(os, "pidfd_open"):
        return
    folder = tempfile.TemporaryDirectory(prefix="sdpose-tests-")
    path = Path(folder.name) / "warm"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(100)
        lifeline, kept = os.pipe()
        words = [REPOSITORY / "tests" / "warm_server.py", listener.fileno(), lifeline]
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            env={**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
            pass_fds=(listener.fileno(), lifeline),
            start_new_session=True,
        )
        os.close(lifeline)
    os.environ[warm_python.VARIABLE] = str(path)

    def end() -> None:
        os.close(kept)
        process.wait()
        folder.cleanup()
        del os.environ[warm_python.VARIABLE]

    config.add_cleanup(end)


def pytest_collection_finish() -> None:
    """What is there now stays: frameworks that collect garbage after each training need not look through it.

    A fifth of the time of the tests of transformers and lightning was spent on that.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The same for what a file has imported, before the next file begins."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
