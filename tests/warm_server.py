"""The process that `warm_python.py` asks: it imports what `sdpose` needs, once, and then forks for each start.

`python warm_server.py LISTENER LIFELINE`: numbers of two open files, a listening socket and the end of a pipe. It
imports with the first request, ends when the pipe closes, and nothing that it started outlives it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warm_python import LENGTH, NEW_SESSION, receive

# Imported late by what they belong to: by optimizers, by commands, and by `tools/dist_train.sh`.
LATE = ("torch._dynamo", "torch.distributed.run", "cv2", "faster_coco_eval", "rich.progress", "rich.table")
# Rooms of sdpose that no command of a person needs, or whose imports are optional.
LEFT_ALONE = ("sdpose.integrations", "sdpose.dashboard")


# How a fork ends, once it is known.
exit_codes: list[int] = []


@atexit.register
def end_at_once() -> None:
    """After threads and everything else that is registered: taking all modules apart is longer than most commands."""
    if exit_codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_codes[0])


@dataclass(frozen=True)
class Request:
    """What a new process shall be."""

    words: list[str]
    cwd: str
    env: dict[str, str]
    new_session: bool
    files: list[int]


def read_request(connection: socket.socket) -> Request:
    head, files, _, _ = socket.recv_fds(connection, LENGTH.size, 3)
    head += receive(connection, LENGTH.size - len(head)) if len(head) < LENGTH.size else b""
    (size,) = LENGTH.unpack(head)
    content = json.loads(receive(connection, size))
    return Request(content["words"], content["cwd"], content["env"], content[NEW_SESSION], files)


def import_everything() -> None:
    """And start no thread by it: a fork has only the thread that forked."""
    import sdpose

    for found in pkgutil.walk_packages(sdpose.__path__, "sdpose."):
        if not found.name.startswith(LEFT_ALONE):
            importlib.import_module(found.name)
    for name in LATE:
        importlib.import_module(name)
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, f"importing started {len(threads) - 1} threads, which a fork would lack"
    # What is there stays there: no fork looks through it for garbage, so its pages stay shared.
    gc.collect()
    gc.freeze()


@dataclass
class Server:
    listener: socket.socket
    lifeline: int
    # pidfd -> process and the connection that waits for its end
    living: dict[int, tuple[int, socket.socket]] = field(default_factory=dict)
    ready: bool = False

    def serve(self) -> Request | None:
        """In each forked process: what it shall be. In this one: None, at the end."""
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ)
        selector.register(self.lifeline, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == self.lifeline:
                    self.end_all()
                    return None
                if key.fd == self.listener.fileno():
                    request = self.start(selector)
                    if request is not None:
                        return request
                elif key.fd in self.living:
                    selector.unregister(key.fd)
                    self.tell(key.fd)

    def start(self, selector: selectors.BaseSelector) -> Request | None:
        connection, _ = self.listener.accept()
        request = read_request(connection)
        if not self.ready:
            import_everything()
            self.ready = True
        pid = os.fork()
        if pid == 0:
            selector.close()
            for opened in (self.listener, connection, *(other for _, other in self.living.values())):
                opened.close()
            for number in (self.lifeline, *self.living):
                os.close(number)
            return request
        for number in request.files:
            os.close(number)
        pidfd = os.pidfd_open(pid)
        self.living[pidfd] = (pid, connection)
        selector.register(pidfd, selectors.EVENT_READ)
        with contextlib.suppress(ConnectionError):  # who asked has ended
            connection.sendall(LENGTH.pack(pid))
        return None

    def tell(self, pidfd: int) -> None:
        """A process has ended: its code goes to who asked for it."""
        pid, connection = self.living.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(ConnectionError):
            connection.sendall(LENGTH.pack(os.waitstatus_to_exitcode(status)))
        connection.close()
        os.close(pidfd)

    def end_all(self) -> None:
        for pidfd in list(self.living):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            self.tell(pidfd)


def become(request: Request) -> None:
    """Be a Python that was just started with these words."""
    if request.new_session:
        os.setsid()
    for number, file in enumerate(request.files):
        os.dup2(file, number)
    for file in request.files:
        os.close(file)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unbuffered = bool(request.env.get("PYTHONUNBUFFERED"))
    sys.stdin = text_file(0, "r")
    sys.stdout = text_file(1, "w", write_through=unbuffered)
    sys.stderr = text_file(2, "w", errors="backslashreplace", line_buffering=True)
    importlib.import_module("numpy").random.seed()
    kind, *words = request.words if request.words[0] in ("-m", "-c") else ("script", *request.words)
    sys.path[1:1] = [path for path in request.env.get("PYTHONPATH", "").split(os.pathsep) if path]
    try:
        if kind == "-m":
            sys.argv, sys.path[0] = words, request.cwd
            sys.modules.pop(words[0], None)  # it is run anew, as `__main__`
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv, sys.path[0] = ["-c", *words[1:]], ""
            exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            exit_codes.append((ended.code or 0) & 0xFF)
        raise
    exit_codes.append(0)


def text_file(number: int, mode: str, **options: Any) -> Any:
    """A standard stream of Python's over an open file, in UTF-8."""
    import io

    raw = io.FileIO(number, mode, closefd=False)
    buffered = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding="utf-8", **options)


if __name__ == "__main__":
    # Ctrl-C is for the tests, who then close the lifeline.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = Server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    asked = server.serve()
    if asked is not None:
        become(asked)
