"""The page beside a run: there while it trains, gone with it however it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from dashboard_runs import write_run

from sdpose.cli import demo
from sdpose.cli.main import build_parser


def runs_at(address: str) -> list[str] | None:
    """Names of the runs on a page, None where there is no page."""
    try:
        with urllib.request.urlopen(f"{address}api/runs", timeout=10) as answer:
            return [run["name"] for run in json.load(answer)["runs"]]
    except (urllib.error.URLError, ConnectionError):
        return None


def is_gone(address: str) -> bool:
    ends_at = time.monotonic() + 15
    while runs_at(address) is not None and time.monotonic() < ends_at:
        time.sleep(0.05)
    return runs_at(address) is None


def test_the_demo_is_on_a_page_while_it_trains_and_takes_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []

    def step(command: list[str]) -> int:
        if command[0] != "train":
            assert (command[0] == "test") == bool(said)
            return 3 if command[0] == "test" else 0
        said.extend(re.findall(r"Watch it train at (http://127\.0\.0\.1:\d+/) ", capsys.readouterr().out))
        (address,) = said
        assert runs_at(address) == [], "nothing has begun yet"
        write_run(tmp_path / "demo" / "run")
        ends_at = time.monotonic() + 15
        while runs_at(address) != ["run"]:
            assert time.monotonic() < ends_at
            time.sleep(0.1)
        return 0

    monkeypatch.setattr(demo, "run_step", step)
    monkeypatch.setattr(demo, "PORT", 0)
    assert demo.run(build_parser().parse_args(["demo", "--work-dir", str(tmp_path / "demo")])) == 3
    assert runs_at(said[0]) is None


def test_it_goes_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from sdpose.dashboard.beside import page_beside\n"
        "if __name__ == '__main__':\n"
        "    with page_beside([Path('.')], port=0) as address:\n"
        "        print(address, flush=True)\n"
        "        input()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True
    ) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        address = parent.stdout.readline().strip()
        assert runs_at(address) == []
        parent.stdin.write("\n")
        parent.stdin.flush()
        parent.wait(timeout=15)
    assert is_gone(address)
