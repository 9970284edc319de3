"""A warm start is a process like any other: arguments, folder, environment, files, exit codes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm_python

WARM = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SHOWS = "import os, sys; print(sys.argv, os.getcwd(), os.environ['HUE'], sys.stdin.read()); sys.exit('no')"
pytestmark = pytest.mark.skipif(warm_python.VARIABLE not in WARM, reason="needs pidfd_open: Linux")


def test_it_has_its_own_words_folder_environment_and_files(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SHOWS, "a b", 1]
    said = [
        warm_python.run(words, cwd=tmp_path, env=WARM | {"HUE": "red"}, timeout=60, cold=cold)
        for cold in (False, True)
    ]
    assert said[0].stdout == said[1].stdout == f"['-c', 'a b', '1'] {tmp_path} red \n"
    assert said[0].stderr == said[1].stderr == "no\n"
    assert said[0].returncode == said[1].returncode == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit", 0),
        ("1 / 0", 1),
        ("import os; os._exit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("raise KeyboardInterrupt", -2),
    ],
)
def test_its_exit_code_is_that_of_a_cold_start(code: str, expected: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import atexit\natexit.register(print, 'at exit')\nprint('began')\n{code}\n")
    done = warm_python.run([sys.executable, "script.py"], cwd=tmp_path, env=WARM, timeout=60)
    assert done.returncode == expected
    if expected not in (7, -9):
        assert done.stdout == "began\nat exit\n"
    assert ("Traceback" in done.stderr) == (expected in (1, -2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_is_stopped_by_its_id(number: signal.Signals, tmp_path: Path) -> None:
    code = "import pathlib, time; pathlib.Path('began').touch(); time.sleep(60)"
    with warm_python.Started([sys.executable, "-c", code], cwd=tmp_path, env=WARM) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.0)
        while not (tmp_path / "began").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait(60) == -number
    assert process.poll() == -number


def test_the_door_passes_on_what_it_gets(tmp_path: Path) -> None:
    door = warm_python.write_door(tmp_path)
    code = "import signal, sys, time; print(sys.argv[1], flush=True); time.sleep(60)"
    process = subprocess.Popen([door, "-c", code, "word"], env=WARM, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "word\n"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    # What cannot start warm starts cold.
    assert subprocess.run([door, "-S", "-c", "print(1)"], env=WARM, capture_output=True).stdout == b"1\n"


def test_what_would_not_be_the_same_starts_cold() -> None:
    assert warm_python.starts_warm(["sdpose", "train"], WARM)
    assert not warm_python.starts_warm(["sdpose", "train"], WARM | {"OMP_NUM_THREADS": "2"})
    for words in (["bash", "x.sh"], [sys.executable], [sys.executable, "-c"], [sys.executable, "-S", "x.py"]):
        assert not warm_python.starts_warm(words, WARM), words
