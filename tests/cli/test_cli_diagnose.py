"""`sdpose diagnose`: the page, the JSON, the exit codes, and watching a log that grows."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sdpose.cli.curve_plot import plot_curve
from sdpose.cli.main import main

HEALTHY = [2.0 * 0.9**epoch + 0.2 + 0.01 * math.sin(7 * epoch) for epoch in range(40)]
BROKEN = [*HEALTHY[:20], *[math.nan] * 20]


def write_csv(path: Path, losses: Sequence[float], *, first: int = 1) -> Path:
    rows = [f"{epoch},{loss}\n" for epoch, loss in enumerate(losses, first)]
    path.write_text("".join(["epoch,loss\n", *rows]))
    return path


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def strict(text: str) -> Any:
    """Parsed as other languages do: no bare NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_healthy_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "log.csv", HEALTHY)
    assert main(["diagnose", str(path)]) == 0
    page = capsys.readouterr().out
    assert "HEALTHY  nothing wrong found" in page and "[keras_csv]" in page
    # The curve: its name, its highest and its lowest value, where it begins and ends.
    assert "loss (train)" in page and "2.2 ┤" in page and re.search(r"\n +1 +40\n", page)


def test_a_broken_log_says_what_where_why_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path / "log.csv", BROKEN)
    assert main(["diagnose", str(path)]) == 1
    page = capsys.readouterr().out
    verdict, alert = page.index("NAN  "), page.index("[1] critical  non_finite  loss @ row 21")
    assert (
        verdict
        < page.index("loss (train)")
        < alert
        < page.index("Probable cause 1:")
        < page.index("Action 1:")
    )
    marks = next(line for line in page.splitlines() if "└" in line)
    assert re.search(r"└─+1×+$", marks)


def test_korean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "log.csv", BROKEN)
    assert main(["diagnose", "--lang", "ko", str(path)]) == 1
    page = capsys.readouterr().out
    assert "가능한 원인 1:" in page and "조치 1:" in page and "Probable cause" not in page


def test_the_locale_chooses_the_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    assert main(["diagnose", str(write_csv(tmp_path / "log.csv", BROKEN))]) == 1
    assert "가능한 원인 1:" in capsys.readouterr().out


def test_json_of_one_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "log.csv", BROKEN)
    assert main(["diagnose", "--json", str(path)]) == 1
    data = strict(capsys.readouterr().out)
    assert list(data) == ["run", "format", "verdict", "alerts"]
    assert (data["run"], data["format"], data["verdict"]) == (str(path), "keras_csv", "nan")
    (alert,) = data["alerts"]
    assert list(alert) == [
        "kind",
        "severity",
        "step",
        "epoch",
        "metric",
        "value",
        "message",
        "causes",
        "actions",
        "row",
    ]
    assert (alert["kind"], alert["severity"], alert["metric"]) == ("non_finite", "critical", "loss")
    # Line 22 of the file, its 21st row, as which epoch 21 stands there.
    assert (alert["step"], alert["epoch"], alert["row"], alert["value"]) == (21, 21, 22, "NaN")
    assert alert["causes"] and alert["actions"] and all(isinstance(text, str) for text in alert["causes"])


def test_epochs_are_those_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fractions as Hugging Face writes them, and null where a log counts none."""
    lines = [f'{{"loss": {loss}, "epoch": {i / 8}, "step": {i}}}' for i, loss in enumerate(BROKEN)]
    fractions, without = tmp_path / "a.jsonl", tmp_path / "b.csv"
    fractions.write_text("\n".join(lines).replace("nan", "NaN"))
    without.write_text("loss\n" + "\n".join(map(str, BROKEN)))
    assert main(["diagnose", "--json", str(fractions), str(without)]) == 1
    first, second = strict(capsys.readouterr().out)
    assert first["alerts"][0]["epoch"] == 2.5 and first["alerts"][0]["step"] == 20
    assert second["alerts"][0]["epoch"] is None and second["alerts"][0]["step"] == 21


def test_several_logs_and_one_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        write_csv(tmp_path / "a.csv", HEALTHY),
        tmp_path / "gone.csv",
        write_csv(tmp_path / "b.csv", BROKEN),
    ]
    assert main(["diagnose", "--json", *map(str, paths)]) == 2
    shown = capsys.readouterr()
    assert [entry["verdict"] for entry in strict(shown.out)] == ["healthy", "nan"]
    assert shown.err == (
        f"sdpose: error: {paths[1]}: no such file or directory; check the path and its permissions\n"
    )


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_what_is_no_log(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "epoch_3.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    assert main(["diagnose", *arguments, str(path)]) == 2
    shown = capsys.readouterr()
    assert (
        shown.out == ""
        and "a zip archive or a PyTorch checkpoint" in shown.err
        and shown.err.count("\n") == 1
    )


def test_notes_tell_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "log.csv", HEALTHY)
    path.write_text(path.read_text() + "Killed\n41,0.2\n")
    main(["diagnose", str(path)])
    assert "- line 42 left out: not the 2 cells that the header has" in capsys.readouterr().out


def test_a_run_folder_tells_what_the_run_itself_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [
        {"mode": "train", "epoch": i, "iter": 5, "lr": 0.1, "loss": loss} for i, loss in enumerate(HEALTHY, 1)
    ]
    lines = [{"env_info": "sdpose: 0.1.0"}, *entries]
    (tmp_path / "20240131_120000.log.json").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "alerts.jsonl").write_text('{"kind": "loss_spike", "iteration": 35}\n')
    assert main(["diagnose", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert "[sdpose]" in page and "Raised during the run (alerts.jsonl): loss_spike @ 35" in page
    # Critical, and nothing in the log shows it: the run is not called healthy, until a repair has helped.
    facts = {"epoch": 1, "metric": None, "value": None, "message": "", "severity": "critical"}
    raised = [facts | {"kind": "data_error", "iteration": 35}]
    (tmp_path / "alerts.jsonl").write_text("\n".join(map(json.dumps, raised)))
    assert main(["diagnose", str(tmp_path)]) == 1
    assert "ALARMED  look at the alarms: critical ones were raised" in capsys.readouterr().out
    raised.append(
        facts | {"kind": "recovery", "iteration": 36, "severity": "info", "evidence": {"helped": True}}
    )
    (tmp_path / "alerts.jsonl").write_text("\n".join(map(json.dumps, raised)))
    assert main(["diagnose", str(tmp_path)]) == 0
    assert "HEALTHY  nothing wrong found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--follow", "a", "b"], "--follow watches one log; got 2 paths: start one command for each"),
        (["--follow", "--interval", "0", "a"], "--interval 0; expected seconds, more than 0"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", *arguments]) == 2
    assert capsys.readouterr().err == f"sdpose: error: {message}\n"


def test_neither_torch_nor_more_than_needed_is_loaded(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", HEALTHY)
    code = (
        "import sys\nfrom sdpose.cli.main import main\n"
        "main(sys.argv[1:])\n"
        "print(sorted({'torch', 'cv2', 'pydantic', 'rich', 'tensorboard'} & set(sys.modules)))"
    )
    for arguments, loaded in (([], "['rich']"), (["--json"], "[]")):
        command = [sys.executable, "-c", code, "diagnose", *arguments, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.splitlines()[-1] == loaded


class Following:
    """`sdpose diagnose --follow` as a process of its own."""

    def __init__(self, path: Path, output: Path, *arguments: str) -> None:
        self._output = output
        command = [sys.executable, "-m", "sdpose.cli.main", "diagnose", "--follow", "--interval", "0.05"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [*command, *arguments, str(path)], stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def shown(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def wait_for(self, condition: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + 60
        while not condition(self.shown):
            assert self._process.poll() is None, f"it ended: {self.shown}"
            assert time.monotonic() < deadline, f"waited in vain; shown: {self.shown}"
            time.sleep(0.05)
        return self.shown

    def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=30)

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def test_follow_tells_a_new_alert_once(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "log.csv", HEALTHY[:20])
    with Following(path, tmp_path / "shown") as following:
        following.wait_for(lambda shown: "HEALTHY" in shown)
        with path.open("a") as file:
            # Half a line says nothing yet: 21 is no loss, and `n` no NaN.
            file.write("21,na")
            file.flush()
            time.sleep(0.3)
            assert "non_finite" not in following.shown
            file.write("n\n22,nan\n")
            file.flush()
            following.wait_for(lambda shown: "verdict: NAN" in shown)
            file.write("23,nan\n24,nan\n")
            file.flush()
            time.sleep(0.5)
        assert following.shown.count("critical  non_finite  loss @ row 21") == 1
        assert following.interrupt() == 1


def test_follow_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with Following(path, tmp_path / "shown", "--json") as following:
        following.wait_for(lambda shown: "sdpose: waiting: " in shown and "no such file" in shown)
        write_csv(path, HEALTHY)
        shown = following.wait_for(lambda shown: '"verdict"' in shown)
        assert strict(shown.splitlines()[-1])["verdict"] == "healthy"
        assert following.interrupt() == 0


@pytest.mark.parametrize(
    ("values", "marks", "lines"),
    [
        ([], [], []),
        ([1.0], [], ["  │⠀", "1 ┤⠠", "  │⠀", "  └─"]),
        ([3.0, 2.0, 1.0, 0.0], [], ["3 ┤⢱⠀", "  │⠈⡆", "0 ┤⠀⢸", "  └──"]),
        ([1.0, 1.0, math.nan, math.inf], [(2, "1")], ["  │⠀⠀", "1 ┤⠤⠀", "  │⠀⠀", "  └─1"]),
        ([math.nan] * 4, [], ["    │⠀⠀", "NaN ┤⠀⠀", "    │⠀⠀", "    └××"]),
    ],
)
def test_a_curve_in_braille(values: list[float], marks: list[tuple[int, str]], lines: list[str]) -> None:
    assert plot_curve(values, width=10, height=3, marks=marks) == lines


def test_a_long_curve_keeps_its_jumps() -> None:
    values = [1.0] * 10_000
    values[5_000] = 40.0
    lines = plot_curve(values, width=20, height=4)
    assert len(lines) == 5 and all(len(line) == len("40 ┤") + 20 for line in lines)
    # A column of dots reaches up at one place.
    assert [index for index, cell in enumerate(lines[0][4:]) if cell != "\u2800"] == [10]


def test_a_curve_over_many_sizes_is_logarithmic() -> None:
    assert "(log)" in "".join(plot_curve([1e3, 1e2, 1e1, 1e0], width=10, height=4))
