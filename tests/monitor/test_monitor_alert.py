"""An alert survives JSON, and its JSON is one that every reader takes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sdpose.monitor import Alert, AlertFile, alert_lines, read_alerts


def alert(**changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "kind": "loss_spike",
        "severity": "warning",
        "epoch": 3,
        "iteration": 250,
        "metric": "loss",
        "value": 5.25,
        "message": "⚠️  WARNING: Loss spike detected!\n   Current: 5.2500",
        "evidence": {"ratio": 2.5, "values": {"a": [1, 2.0, "three", None, True]}},
        "causes": ("데이터 이상",),
        "actions": ("lr 0.001 -> 0.0005", "max_norm 5.0 -> 3.0"),
        "language": "ko",
        "time": 12.5,
    }
    return Alert(**{**fields, **changes})


def strictly(text: str) -> Any:
    """Parses JSON as the standard has it: no bare NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))


def test_json_round_trip() -> None:
    assert Alert.from_json(alert().to_json()) == alert()
    assert strictly(alert().to_json())["causes"] == ["데이터 이상"]


def test_round_trip_of_the_smallest_alert() -> None:
    smallest = Alert(
        kind="x", severity="info", epoch=0, iteration=0, metric=None, value=None, message="nothing"
    )
    assert Alert.from_json(smallest.to_json()) == smallest


@pytest.mark.parametrize(("value", "written"), [(math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_infinities_are_strict_json_and_come_back(value: float, written: str) -> None:
    original = alert(value=value, evidence={"values": {"loss": value}, "list": [value]})
    assert strictly(original.to_json())["value"] == written
    assert Alert.from_json(original.to_json()) == original


def test_nan_is_strict_json_and_comes_back() -> None:
    text = alert(value=math.nan, evidence={"values": {"loss": math.nan}}).to_json()
    assert strictly(text)["value"] == "NaN"
    back = Alert.from_json(text)
    assert back.value is not None
    assert math.isnan(back.value)
    assert math.isnan(back.evidence["values"]["loss"])


def test_fields_of_a_later_version_are_left_out() -> None:
    text = json.dumps({**json.loads(alert().to_json()), "link": "docs/monitor.md"})
    assert Alert.from_json(text) == alert()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "an alert is a JSON object; got list"),
        (
            "{}",
            "not an alert: kind, severity, epoch, iteration, metric, value, message missing; "
            "present: nothing",
        ),
        (
            '{"kind": "x"}',
            "not an alert: severity, epoch, iteration, metric, value, message missing; present: kind",
        ),
    ],
)
def test_what_is_not_an_alert_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        Alert.from_json(text)
    assert str(error.value) == message


def test_unknown_severity_and_language_are_refused() -> None:
    with pytest.raises(
        ValueError, match="alert severity is 'fatal'; expected one of info, warning, critical"
    ):
        alert(severity="fatal")
    with pytest.raises(ValueError, match="alert language is 'fr'; expected one of en, ko"):
        alert(language="fr")


def test_log_entries_are_the_message_then_causes_then_actions() -> None:
    assert alert_lines(alert()) == [
        "⚠️  WARNING: Loss spike detected!\n   Current: 5.2500",
        "   가능한 원인 1: 데이터 이상",
        "   조치 1: lr 0.001 -> 0.0005",
        "   조치 2: max_norm 5.0 -> 3.0",
    ]
    assert alert_lines(alert(language="en", causes=("data",), actions=()))[1:] == [
        "   Probable cause 1: data"
    ]


def test_alert_file_appends_over_runs(tmp_path: Path) -> None:
    first, second, third = (
        alert(iteration=1),
        alert(iteration=2, message="two\u2028lines"),
        alert(iteration=3),
    )
    path = tmp_path / "alerts.jsonl"
    AlertFile(path, log=pytest.fail).write([first, second])
    AlertFile(path, log=pytest.fail).write([])
    AlertFile(path, log=pytest.fail).write([third])
    assert path.read_bytes().count(b"\n") == 3
    assert read_alerts(path) == [first, second, third]


def test_alert_file_goes_on_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text(alert().to_json() + "\n" + alert().to_json()[:40], encoding="utf-8")
    AlertFile(path, log=pytest.fail).write([alert(iteration=9)])
    assert read_alerts(path) == [alert(), alert(iteration=9)]


def test_no_alerts_leave_no_file(tmp_path: Path) -> None:
    AlertFile(tmp_path / "alerts.jsonl", log=pytest.fail).write([])
    assert list(tmp_path.iterdir()) == []


def test_alert_file_that_fails_says_so_once_and_never_raises(tmp_path: Path) -> None:
    said: list[str] = []
    file = AlertFile(tmp_path / "gone" / "alerts.jsonl", log=said.append)
    file.write([alert()])
    file.write([alert()])
    assert len(said) == 1
    assert said[0].startswith(
        f"alerts are no longer written to {tmp_path}/gone/alerts.jsonl: FileNotFoundError: "
    )


def test_evidence_that_json_cannot_hold_is_said_and_never_raises(tmp_path: Path) -> None:
    said: list[str] = []
    AlertFile(tmp_path / "alerts.jsonl", log=said.append).write([alert(evidence={"x": object()})])
    assert len(said) == 1
    assert "TypeError" in said[0]
