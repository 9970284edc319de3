"""The queue with trainings that are small scripts: signals, endings, the lock, and the command of the real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sdpose.config.places import Place, SourceDict
from sdpose.errors import SdposeError
from sdpose.sweep import queue
from sdpose.sweep.plan import NOTE, Common, Planned, State
from sdpose.sweep.queue import LOCK, run_queue, train_command
from sdpose.sweep.set_file import Variation

# Says that it runs, then ends as sdpose train does when it is told to.
OBEDIENT = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
pathlib.Path(sys.argv[1], "running").touch()
time.sleep(30)
"""


def planned(folder: Path, name: str, state: State = "new", **changes: object) -> Planned:
    place = Place("set.py", 1)
    own = SourceDict(place)
    for key, value in changes.items():
        own.put(key.replace("__", "."), value, place)
    variation = Variation(name, Path("config.py"), own, place)
    return Planned(variation=variation, folder=folder / name, state=state, written={"a": "1"})


def scripts(monkeypatch: pytest.MonkeyPatch, **by_name: str) -> None:
    """Let each variation run a script of its own, with its folder as argument."""

    def command(each: Planned, common: Common, *, resume: bool) -> list[str]:
        return [sys.executable, "-c", by_name[each.name], str(each.folder)]

    monkeypatch.setattr(queue, "train_command", command)


def ending(folder: Path, name: str) -> object:
    return json.loads((folder / name / NOTE).read_text(encoding="utf-8"))["ending"]


def test_endings_are_noted_and_the_queue_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts(
        monkeypatch,
        mistake="import sys; print('sdpose: error: no such file', file=sys.stderr); sys.exit(2)",
        out_of_memory="import os; os.kill(os.getpid(), 9)",
        crash="raise ZeroDivisionError('x')",
        good="",
    )
    said: list[str] = []
    names = ("mistake", "out_of_memory", "crash", "good")
    assert (
        run_queue([planned(tmp_path, name) for name in names], tmp_path, Common(), said.append, retry=False)
        == 0
    )
    assert [ending(tmp_path, name) for name in names] == [
        {"code": 2, "why": "no such file"},
        {"code": -9, "why": "killed by SIGKILL; most often the machine had no memory left"},
        {"code": 1, "why": "ZeroDivisionError: x"},
        {"code": 0, "why": ""},
    ]
    assert said[:2] == ["[1/4] mistake starts: as it is", "[1/4] mistake FAILED: no such file"]
    assert said[-1] == "[4/4] good starts: as it is"


def test_only_what_is_not_done_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts(monkeypatch, a="", b="", c="")
    every = [
        planned(tmp_path, "a", "finished"),
        planned(tmp_path, "b", "failed"),
        planned(tmp_path, "c", "interrupted", optimizer__lr=0.5),
    ]
    said: list[str] = []
    run_queue(every, tmp_path, Common(), said.append, retry=False)
    assert said == ["[1/1] c goes on: optimizer.lr=0.5"]
    said.clear()
    run_queue(every[:2], tmp_path, Common(), said.append, retry=True)
    assert said == ["[1/1] b is tried again: as it is"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_training_and_ends_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    scripts(monkeypatch, first=OBEDIENT, second=OBEDIENT)
    interrupter = threading.Thread(
        target=signal_when, args=(tmp_path / "first" / "running", os.getpid(), number)
    )
    interrupter.start()
    said: list[str] = []
    every = [planned(tmp_path, name) for name in ("first", "second")]
    assert run_queue(every, tmp_path, Common(), said.append, retry=False) == code
    interrupter.join()
    assert ending(tmp_path, "first") == {"code": code, "why": ""}
    assert not (tmp_path / "second").exists()
    assert said[1:] == ["the queue is stopped; the same command goes on"]


def test_a_training_that_was_told_to_stop_ends_the_queue_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts(monkeypatch, first="import sys; sys.exit(143)", second="")
    every = [planned(tmp_path, name) for name in ("first", "second")]
    assert run_queue(every, tmp_path, Common(), lambda text: None, retry=False) == 143
    assert not (tmp_path / "second").exists()


def test_a_lock_of_a_dead_queue_is_waited_for_while_its_training_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts(monkeypatch, one="")
    hold = "import fcntl, sys, time; fcntl.flock(int(sys.argv[1]), fcntl.LOCK_EX); print(flush=True); time.sleep(0.5)"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with (tmp_path / LOCK).open("w") as file:
        file.write(f"{dead.pid}\n")
        file.flush()
        words = [sys.executable, "-c", hold, str(file.fileno())]
        orphan = subprocess.Popen(words, pass_fds=(file.fileno(),), stdout=subprocess.PIPE)
        assert orphan.stdout is not None
        orphan.stdout.readline()
    said: list[str] = []
    with orphan:
        assert run_queue([planned(tmp_path, "one")], tmp_path, Common(), said.append, retry=False) == 0
    assert said == [
        "the training of a queue that was killed is still saving; waiting for it",
        "[1/1] one starts: as it is",
    ]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SdposeError, match=r"cannot write .*file/.queue.lock .*; choose another folder"):
        run_queue([], tmp_path / "file", Common(), print, retry=False)


def test_the_command_is_one_that_could_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = planned(tmp_path, "a", optimizer__lr=5e-4, load_from="x y.pth")
    common = Common(
        cfg_options=("total_epochs=3",),
        data_root="data",
        training={"seed": "1", "no-validate": ""},
        machine=("--device", "cpu"),
    )
    head = ["train", "config.py", "--work-dir", str(tmp_path / "a"), "--seed", "1", "--no-validate"]
    tail = ["--device", "cpu", "--cfg-options", "total_epochs=3", "optimizer.lr=0.0005", "load_from=x y.pth"]
    whole = train_command(each, common, resume=True)
    assert whole[:3] == [sys.executable, "-m", "sdpose.cli.main"]
    assert whole[3:] == [*head, "--data-root", "data", "--resume-from", "auto", *tail]
    monkeypatch.setenv("PORT", "29777")
    several = train_command(each, Common(gpus=2), resume=False)
    assert several[1:3] == ["-m", "torch.distributed.run"]
    assert {"--nproc-per-node=2", "--master-port=29777"} < set(several)
    assert several[several.index("--launcher") + 1] == "pytorch"


def signal_when(path: Path, process: int, number: signal.Signals) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process, number)
