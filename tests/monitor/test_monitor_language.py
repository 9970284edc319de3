"""The run decides which language the monitor speaks, or else the locale."""

from __future__ import annotations

import math

import pytest
from monitor_records import train

from sdpose.monitor import Monitor, TrainingMonitorHook
from sdpose.monitor.language import choose_language


@pytest.mark.parametrize(
    ("wanted", "environment", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "ko_KR.UTF-8"}, "ko"),
        (None, {"LC_ALL": "C", "LANG": "ko_KR.UTF-8"}, "en"),
        (None, {"LC_ALL": "", "LC_MESSAGES": "ko_KR", "LANG": "de_DE"}, "ko"),
        (None, {"LANG": "fr_FR.UTF-8"}, "en"),
        ("ko", {"LANG": "en_US.UTF-8"}, "ko"),
        ("en", {"LANG": "ko_KR.UTF-8"}, "en"),
    ],
)
def test_language(wanted: str | None, environment: dict[str, str], language: str) -> None:
    assert choose_language(wanted, environment) == language


def test_a_language_without_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="language 'fr' has no texts; expected one of en, ko"):
        choose_language("fr")


def test_the_locale_decides_when_the_run_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ko_KR.UTF-8")
    (alert,) = Monitor([TrainingMonitorHook()]).observe([train(1, math.nan)])
    assert alert.language == "ko"
    assert alert.causes[1] == "Learning rate가 너무 높음"
