"""Variations trained one after the other, each as `sdpose train` in a process of its own.

Stopped in any way, the same queue goes on where it was: what it knows lies in the folders (`plan.py`). Ctrl-C reaches
the training, which saves; a queue that is killed takes its training with it (SIGTERM, so that it saves as well). One
queue at a time works in a folder: it holds a lock, and so does its training for as long as it lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from sdpose.errors import SdposeError
from sdpose.sweep.plan import Common, Planned, write_note
from sdpose.training.atomic_file import is_running
from sdpose.training.signals import STOPPED_CODES, StopRequest

LOCK = ".queue.lock"
# So long may a training whose queue was killed take to save.
ORPHAN_WAIT_S = 120.0
_PR_SET_PDEATHSIG = 1
_LAST_LINES = 20


def run_queue(
    planned: Sequence[Planned], folder: Path, common: Common, say: Callable[[str], None], *, retry: bool
) -> int:
    """Train what is not finished; failed ones only with `retry`.

    Gives 0, or the code of the signal that ended the queue: 129, 130, 143. A variation that fails is noted in its
    folder and the queue goes on. Raises SdposeError where another queue works in `folder`.
    """
    todo = [each for each in planned if each.state != "finished" and (retry or each.state != "failed")]
    with StopRequest() as stop, _alone_in(folder, say) as lock:
        for number, each in enumerate(todo, start=1):
            if stop.requested:
                break
            begin = {"new": "starts", "interrupted": "goes on", "failed": "is tried again"}[each.state]
            say(
                f"[{number}/{len(todo)}] {each.name} {begin}: {' '.join(each.variation.options) or 'as it is'}"
            )
            code, why = _train(each, common, stop, lock)
            if code in STOPPED_CODES and not stop.requested:
                # Somebody stopped the training itself; that was a wish to stop.
                return code
            if code not in (0, *STOPPED_CODES) and not stop.requested:
                say(f"[{number}/{len(todo)}] {each.name} FAILED: {why}")
        if stop.requested:
            say("the queue is stopped; the same command goes on")
        return stop.exit_code


def train_command(each: Planned, common: Common, *, resume: bool) -> list[str]:
    """The command that trains one variation, as one could type it."""
    head = ["-m", "sdpose.cli.main"]
    tail: list[str] = []
    if common.gpus > 1:
        port = os.environ.get("PORT") or str(_free_port())
        head = ["-m", "torch.distributed.run", "--nnodes=1", "--node-rank=0", "--master-addr=127.0.0.1"]
        head += [f"--master-port={port}", f"--nproc-per-node={common.gpus}", "-m", "sdpose.cli.main"]
        tail += ["--launcher", "pytorch"]
    for name, value in common.training.items():
        tail += [f"--{name}", value] if value else [f"--{name}"]
    if common.data_root is not None:
        tail += ["--data-root", common.data_root]
    if resume:
        tail += ["--resume-from", "auto"]
    tail += common.machine
    if options := (*common.cfg_options, *each.variation.options):
        tail += ["--cfg-options", *options]
    words = ["train", str(each.variation.config), "--work-dir", str(each.folder)]
    return [sys.executable, *head, *words, *tail]


def _train(each: Planned, common: Common, stop: StopRequest, lock: int) -> tuple[int, str]:
    """Its exit code, and why it is not 0."""
    command = train_command(each, common, resume=each.has_checkpoints)
    write_note(each, command)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(common),
        pass_fds=(lock,),
        preexec_fn=_end_with_the_queue,
    )
    assert process.stderr is not None
    last_lines: list[str] = []
    reader = threading.Thread(target=_pass_on, args=(process.stderr, last_lines), daemon=True)
    reader.start()
    try:
        _wait(process, stop)
    except KeyboardInterrupt:
        # The second Ctrl-C: at once, without saving.
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
        raise
    reader.join(timeout=5)
    code = process.returncode
    if stop.requested and code != 0:
        # torchrun gives another code than its processes.
        code = stop.exit_code
    why = _why(code, last_lines)
    write_note(each, command, {"code": code, "why": why})
    return code, why


def _wait(process: subprocess.Popen[bytes], stop: StopRequest) -> None:
    """To the end of the process; the first signal is handed on to it, which may have had it already."""
    told = False
    while process.poll() is None:
        if stop.signal is not None and not told:
            told = True
            process.send_signal(stop.signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)


def _why(code: int, last_lines: Sequence[str]) -> str:
    """In one line; empty for 0 and for a wish to stop."""
    if code in (0, *STOPPED_CODES):
        return ""
    errors = [line for line in last_lines if line.startswith(("sdpose: error: ", "ERROR: "))]
    if errors:
        return errors[-1].removeprefix("sdpose: error: ").removeprefix("ERROR: ")
    if code == -signal.SIGKILL:
        return "killed by SIGKILL; most often the machine had no memory left"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return last_lines[-1] if last_lines else f"exit code {code}; see its log"


def _pass_on(source: IO[bytes], last_lines: list[str]) -> None:
    """What a training says on stderr goes to ours; the last lines are kept."""
    with source:
        for line in source:
            text = line.decode(errors="replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            if text.strip():
                last_lines.append(text.rstrip())
                del last_lines[:-_LAST_LINES]


def _environment(common: Common) -> dict[str, str]:
    environment = dict(os.environ)
    # `python tools/train.py` works without an installation, and so must what it starts.
    home = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (home, environment.get("PYTHONPATH"))))
    if common.gpus > 1:
        # As tools/dist_train.sh does: all processes share the cores.
        threads = -(-(os.cpu_count() or 1) // common.gpus)
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def _end_with_the_queue() -> None:
    """In the child: ask Linux for SIGTERM when the queue dies. Elsewhere the lock keeps a second queue out."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def _alone_in(folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """The lock of a set's folder, as a file descriptor; the system lets go of it when its last holder dies."""
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise SdposeError(
            f"cannot write {path} ({error.strerror}); choose another folder with --work-dir"
        ) from error
    with file:
        _take(file, path, say)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()


def _take(file: IO[str], path: Path, say: Callable[[str], None]) -> None:
    deadline, said = time.monotonic() + ORPHAN_WAIT_S, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
        if not holder.isdigit() or is_running(int(holder)) or time.monotonic() > deadline:
            raise SdposeError(
                f"another queue works in {path.parent} (process {holder or 'unknown'}); let it finish, or choose "
                "another folder with --work-dir"
            )
        if not said:
            said = True
            say("the training of a queue that was killed is still saving; waiting for it")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
