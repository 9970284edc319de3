"""Ctrl-C, SIGTERM and a closed terminal become a wish that the loop can look at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sdpose.training.signals import StopRequest


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_sets_the_flag_and_the_exit_code(number: signal.Signals, code: int) -> None:
    with StopRequest() as stop:
        assert (stop.requested, stop.exit_code) == (False, 0)
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.signal, stop.exit_code) == (True, number, code)
    assert stop.exit_code == code


def test_a_second_ctrl_c_stops_at_once_but_the_same_key_press_twice_does_not() -> None:
    now = [0.0]
    with StopRequest(clock=lambda: now[0]) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        now[0] = 0.5  # torchrun hands on the key press that the terminal had sent to all
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        now[0] = 2.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_under_nohup_a_closed_terminal_changes_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_sigterm_changes_nothing() -> None:
    now = [0.0]
    with StopRequest(clock=lambda: now[0]) as stop:
        for now[0] in (0.0, 5.0):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143


def test_ctrl_c_after_sigterm_stops_at_once_with_the_first_code() -> None:
    now = [0.0]
    with StopRequest(clock=lambda: now[0]) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        now[0] = 5.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 143


def test_earlier_handlers_come_back_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    during = []

    def fail() -> None:
        with StopRequest():
            during.append(signal.getsignal(signal.SIGINT))
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert during[0] != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_in_another_thread_it_does_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[bool] = []

    def run() -> None:
        with StopRequest() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) == before


FORKED = """
import os, signal, time
from sdpose.training.signals import StopRequest
with StopRequest() as stop:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGINT)
    time.sleep(0.2)
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "Ctrl-C must not end a worker"
    os.kill(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
    assert not stop.requested
print("ok")
"""


def test_a_forked_worker_ignores_ctrl_c_and_ends_on_sigterm() -> None:
    started_at = time.monotonic()
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("ok\n", "")
    assert time.monotonic() - started_at < 50
