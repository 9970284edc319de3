"""`python` and `sdpose` that start warm: each is a fork of one process that has imported everything already.

A cold start of `sdpose train` computes some four seconds before its first iteration, nearly all of it imports, and the
tests make dozens of them. What comes out of here is a process of its own all the same: with its own arguments, folder,
environment and files, to be stopped, interrupted and killed by its id, with the exit code of any Python.

What a fork shares with its siblings, and a cold start does not: the seed of `hash`, the number of threads (one), and
modules that are there already. Tests of the start itself, and the runs that others are compared with, start cold.

As a program (`door`) it is a `python` that starts warm, for scripts that start one themselves. It passes on signals
that can be passed on; SIGKILL ends the door alone.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

# Where the process that forks listens (`warm_server.py`); `conftest.py` sets it for all workers of a session.
VARIABLE = "SDPOSE_WARM_PYTHON"
LENGTH = struct.Struct("!q")
NEW_SESSION = "new_session"


class Started:
    """A process that was started warm, as `subprocess.Popen` shows one."""

    def __init__(
        self,
        words: Sequence[object],
        *,
        cwd: str | os.PathLike[str],
        env: Mapping[str, str],
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
        start_new_session: bool = False,
    ) -> None:
        self.args = [str(word) for word in words]
        self.returncode: int | None = None
        request = {"words": python_words(self.args, env), "cwd": str(cwd), "env": dict(env)}
        body = json.dumps(request | {NEW_SESSION: start_new_session}).encode()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(env[VARIABLE])
        with open(os.devnull, "r+b") as nowhere:
            files = [nowhere if file == subprocess.DEVNULL else file for file in (stdin, stdout, stderr)]
            numbers = [file if isinstance(file, int) else file.fileno() for file in files]
            socket.send_fds(self._socket, [LENGTH.pack(len(body))], numbers)
            self._socket.sendall(body)
            self.pid = self._answer()

    def poll(self) -> int | None:
        """The exit code, minus the signal's number for one that was killed, None while it lives."""
        if self.returncode is None and select.select([self._socket], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = self._answer()
            self._socket.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Started:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wait()

    def _answer(self) -> int:
        return int(LENGTH.unpack(receive(self._socket, LENGTH.size))[0])


Process = Started | subprocess.Popen[bytes]


def begin(words: Sequence[object], *, cold: bool = False, **options: Any) -> Process:
    """A process, warm where that is possible and not unwanted; options as those of `Started`."""
    words = [str(word) for word in words]
    return (subprocess.Popen if cold or not starts_warm(words, options["env"]) else Started)(words, **options)


def run(
    words: Sequence[object], *, cwd: Path, env: Mapping[str, str], timeout: float, cold: bool = False
) -> subprocess.CompletedProcess[str]:
    """A process to its end, and what it printed; raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        files = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
        with begin(words, cold=cold, cwd=cwd, env=env, **files) as process:
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def starts_warm(words: Sequence[object], env: Mapping[str, str]) -> bool:
    """Whether a warm start of the command would be what a cold one is."""
    try:
        python_words([str(word) for word in words], env)
    except ValueError:
        return False
    return VARIABLE in env


def python_words(words: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """What follows `python`: a script, `-m MODULE` or `-c CODE`, and arguments.

    Raises ValueError for other commands, and for an environment that is read while Python starts.
    """
    if env.get("OMP_NUM_THREADS") != "1":
        raise ValueError("OMP_NUM_THREADS is read at import, and was 1")
    program = shutil.which(words[0], path=env.get("PATH"))
    if program is None or Path(program).parent != Path(sys.executable).parent:
        raise ValueError(f"{words[0]} does not belong to {sys.executable}")
    if Path(program).name == "sdpose":
        return [program, *words[1:]]
    if not Path(program).name.startswith("python") or not words[1:]:
        raise ValueError(f"{words[0]} is no python with a script")
    if words[1].startswith("-") and (words[1] not in ("-m", "-c") or len(words) < 3):
        raise ValueError(f"python {words[1]}: only scripts, -m and -c start warm")
    return list(words[1:])


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; raises ConnectionError where the other side has ended."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError(f"the process that forks (${VARIABLE}) has ended")
        parts += part
    return parts


def write_door(folder: Path) -> Path:
    """A program `python` for scripts that start one: it starts warm what can be started so, and else is Python."""
    path = folder / "python"
    # Isolated and without site-packages: such a Python starts in 10 ms.
    path.write_text(
        f'#!/bin/sh\nexec {sys.executable} -ISE {Path(__file__).resolve()} {sys.executable} "$@"\n'
    )
    path.chmod(0o755)
    return path


def door(python: str, words: Sequence[str]) -> NoReturn:
    """Be `python WORDS`."""
    sys.executable = python
    if not starts_warm([python, *words], os.environ):
        os.execv(python, [python, *words])
    held = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    process = Started([python, *words], cwd=Path.cwd(), env=os.environ, stdin=0, stdout=1, stderr=2)
    for number in held:
        signal.signal(number, lambda number, _: process.send_signal(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    door(sys.argv[1], sys.argv[2:])
