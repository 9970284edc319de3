"""A script that cannot run is a line, whatever happens in it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import quick
from benchmarks.busy import Load, Moment
from benchmarks.quick import SCRIPTS, Outcome, as_text, checked, outcome_of, repeated, run_script
from benchmarks.ratio import Ratio
from benchmarks.table import Row, Table, compare

GOOD = """
from benchmarks.ratio import Ratio
def ratios(*, quick):
    return [Ratio(name="speed", value=2.0 if quick else 1.0, low=1.5, high=2.5, aim=3.0)]
"""


def script(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return name


def speed(value: float) -> Ratio:
    return Ratio(name="speed", value=value, low=value, high=value)


@pytest.mark.parametrize(
    ("name", "text", "missing", "error"),
    [
        ("no_package", "import nowhere_to_be_found", "the package nowhere_to_be_found is not installed", None),
        ("no_file", "def ratios(*, quick): open('/nowhere/photographs')", "/nowhere/photographs does not", None),
        (
            "no_data",
            "from sdpose.errors import SdposeError\ndef ratios(*, quick): raise SdposeError('no set here')",
            "no set here",
            None,
        ),
        ("no_function", "", None, "AttributeError: module 'no_function' has no attribute 'ratios'"),
        ("no_room", "import sdpose.nowhere", None, "No module named 'sdpose.nowhere'"),
        ("a_bug", "def ratios(*, quick): return [1 / 0]", None, "ZeroDivisionError: division by zero (a_bug.py:1)"),
    ],
)  # fmt: skip
def test_a_script_that_gives_nothing_says_why(
    name: str, text: str, missing: str | None, error: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    outcome = outcome_of(script(tmp_path, name, text, monkeypatch))
    assert outcome.ratios == ()
    for said, expected in ((outcome.missing, missing), (outcome.error, error)):
        assert (said is None) == (expected is None)
        assert expected is None or expected in str(said)


def test_a_script_runs_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_script(script(tmp_path, "good_script", GOOD, monkeypatch))
    assert outcome == Outcome("good_script", (Ratio(name="speed", value=2.0, low=1.5, high=2.5, aim=3.0),))


def test_what_is_asked_for_alone_reaches_a_script_that_can_leave_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
from benchmarks.ratio import Ratio, wanted
def ratios(*, quick, only=None):
    return [Ratio(name=name, value=1.0, low=1.0, high=1.0) for name in ("fast: a", "slow: b") if wanted(only, name[:4])]
"""
    name = script(tmp_path, "two_parts", text, monkeypatch)
    names = [[ratio.name for ratio in run_script(name, only=only).ratios] for only in (None, {"slow: b"})]
    assert names == [["fast: a", "slow: b"], ["slow: b"]]
    assert run_script(script(tmp_path, "good_script", GOOD, monkeypatch), only={"speed"}).ratios


def test_a_script_whose_process_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import os, sys\ndef ratios(*, quick): print('out of luck', file=sys.stderr, flush=True); os._exit(7)"
    )
    outcome = run_script(script(tmp_path, "dying", text, monkeypatch))
    assert outcome == Outcome("dying", error="its process ended with 7: out of luck")


def test_a_script_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run_script(
        script(tmp_path, "endless", "import time\ntime.sleep(60)", monkeypatch), longest_s=1.5
    )
    assert outcome == Outcome("endless", error="it took more than 1.5 s")


def table_with(value: float) -> Table:
    return Table("", 2, "", "", "", (Row("data", speed(value)),))


def run_in_turn(monkeypatch: pytest.MonkeyPatch, *values: float) -> list[float]:
    """Scripts give these values, one after the other; gives what is left of them."""
    left = list(values)
    monkeypatch.setattr(quick, "run_script", lambda module, only=None: Outcome("data", (speed(left.pop(0)),)))
    return left


@pytest.mark.parametrize(
    ("values", "counts", "num_runs"),
    [([2.0, 9.0], 2.0, 1), ([1.0, 2.0], 2.0, 2), ([1.0, 0.9], 1.0, 2)],
    ids=["as the table", "worse by chance", "worse"],
)
def test_what_is_worse_than_the_table_is_measured_once_more(
    values: list[float], counts: float, num_runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = run_in_turn(monkeypatch, *values)
    assert checked("data", table_with(2.0)).ratios == (speed(counts),)
    assert len(left) == len(values) - num_runs


def test_a_table_is_made_of_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    run_in_turn(monkeypatch, 1.0, 4.0, 2.0)
    assert repeated("data", 3).ratios == (Ratio(name="speed", value=2.0, low=1.0, high=4.0),)


@pytest.mark.parametrize(
    ("now", "arguments", "code"), [(2.0, [], 0), (1.0, [], 1), (2.0, ["--only", "data"], 0)]
)
def test_the_exit_code_tells_of_what_is_worse(
    now: float,
    arguments: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(quick, "SCRIPTS", ("data",))
    monkeypatch.setattr(quick, "read_table", lambda: table_with(2.0))
    monkeypatch.setattr("sys.argv", ["quick", *arguments])
    run_in_turn(monkeypatch, now, now)
    assert quick.main() == code
    assert ("worse than the table, measured twice: speed" in capsys.readouterr().out) == bool(code)


def test_a_line_shows_both_sides_the_aim_and_the_verdict() -> None:
    now = Ratio(name="speed", value=1.0, low=0.9, high=1.1, aim=1.5)
    before = Ratio(name="speed", value=2.0, low=1.9, high=2.1, aim=1.5)
    line = as_text(compare([Row("data", now)], [Row("data", before)], measured=["data"])).splitlines()[1]
    assert line.split() == ["speed", "1", "0.9", "to", "1.1", "2", "-50.0", "%", ">=1.5", "!", "worse"]


def test_every_speed_script_is_asked() -> None:
    """A file of benchmarks/ that defines `ratios` is in SCRIPTS."""
    having = {
        path.stem
        for path in Path(quick.__file__).parent.glob("*.py")
        if any(
            isinstance(part, ast.FunctionDef) and part.name == "ratios"
            for part in ast.parse(path.read_text(encoding="utf-8")).body
        )
    }
    assert having - set(SCRIPTS) == set()


def test_a_busy_machine_is_told() -> None:
    start = Moment(wall_s=0, busy_s=0, stolen_s=0, ours_s=0)
    quiet = Load.between(start, Moment(wall_s=10, busy_s=11, stolen_s=0.1, ours_s=10), cores=2)
    assert quiet.warning is None
    busy = Load.between(start, Moment(wall_s=10, busy_s=20, stolen_s=1, ours_s=10), cores=2)
    assert busy.warning is not None
    assert "other processes had 50 % of it, its host took 5 %" in busy.warning


def test_contributors_are_told_of_every_benchmark_once(repository: Path) -> None:
    rows = [
        line for line in (repository / "CONTRIBUTING.md").read_text().splitlines() if "| `benchmarks." in line
    ]
    told = [row.split("`")[1].removeprefix("benchmarks.") for row in rows]
    scripts = {
        path.stem for path in (repository / "benchmarks").glob("*.py") if "__main__" in path.read_text()
    }
    # What they are asked by, and what makes pages, pictures and data.
    assert sorted(told) == sorted(scripts - {"quick", "page", "guide_picture", "coco_size"})
