"""Serving the page until the user ends it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from sdpose.dashboard.server import LOOPBACK, make_app
from sdpose.dashboard.watcher import Watcher
from sdpose.errors import SdposeError

_NEAR_PORTS = 50


def watch(
    paths: Sequence[Path], *, host: str, port: int, say: Callable[[str], None], opened: Callable[[str], None]
) -> None:
    """Serve the runs below `paths` until Ctrl-C. `say` gets the one line with the address, `opened` the address.

    Raises SdposeError when a path is missing, when there are no runs, or when the port is taken.
    """
    for path in paths:
        if not path.exists():
            raise SdposeError(
                f"{path}: no such folder or log; give the folder that holds your runs, such as `sdpose watch work_dirs`"
            )
    watcher = Watcher(paths)
    if not watcher.runs:
        raise SdposeError(
            f"no runs below {', '.join(map(str, paths))}: looked for *.log.json, metrics.csv, results.csv, "
            "trainer_state.json and TensorBoard events; start a training first, or name a log itself"
        )
    listening = bind(host, port)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    local = is_loopback(host)
    runs = f"{len(watcher.runs)} run{'s' if len(watcher.runs) != 1 else ''}"
    open_to = "" if local else "; anybody who reaches this machine can read it"
    say(f"{runs} at {address} (Ctrl-C ends it; it only reads{open_to})")
    opened(address)
    with listening:
        PageServer(watcher, allowed_hosts=LOOPBACK if local else None).run(sockets=[listening])


class PageServer(uvicorn.Server):
    """Ends the streams to open browsers itself before it waits for them."""

    def __init__(self, watcher: Watcher, *, allowed_hosts: Sequence[str] | None = LOOPBACK) -> None:
        app = make_app(watcher, allowed_hosts=allowed_hosts)
        super().__init__(
            uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, lifespan="on"
            )
        )
        self._watcher = watcher

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On Ctrl-C or when the process shall end."""
        self._watcher.end()
        super().handle_exit(sig, frame)

    def end(self) -> None:
        """Answer what is being asked, then stop."""
        self._watcher.end()
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises SdposeError, with a free port where this one is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if isinstance(error, socket.gaierror) or error.errno in (99, 49):
            raise SdposeError(
                f"--host {host}: not an address of this machine; try 127.0.0.1, or 0.0.0.0 for all"
            ) from error
        free = free_port(host, family, port)
        raise SdposeError(
            f"port {port} on {host} cannot be had ({(error.strerror or str(error)).lower()}); free is --port {free}"
        ) from error
    except OverflowError as error:
        listening.close()
        raise SdposeError(f"--port {port}; expected 0 to 65535, 0 takes any that is free") from error
    return listening


def free_port(host: str, family: socket.AddressFamily, taken: int) -> int:
    """The next free port after `taken`, or any."""
    for port in [*range(taken + 1, min(taken + _NEAR_PORTS, 65536)), 0]:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            try:
                attempt.bind((host, port))
            except OSError:
                continue
            return int(attempt.getsockname()[1])
    return 0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
