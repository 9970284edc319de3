"""A run that a critical alert has ended explains itself; whatever happens then, it ends as it would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted_faults import SEED, tiny_config

import sdpose.explain.ending
from sdpose.cli.main import main
from sdpose.explain import RESULT_FILE, Explanation, explain_ending
from sdpose.explain.deadline import Deadline
from sdpose.training.incident import list_incidents

BREAKS = "return 1e-3 * torch.sqrt(-0.36 - heatmaps.detach().min())"


def train(config: Path, *options: str) -> int:
    return main(["train", str(config), "--seed", str(SEED), "--cfg-options", "total_epochs=2", *options])


def log_of(folder: Path) -> str:
    return (folder / "work" / "latest.log").read_text(encoding="utf-8")


def test_a_failed_run_ends_with_its_cause(tmp_path: Path, people: Path) -> None:
    assert train(tiny_config(tmp_path, people, own_loss=BREAKS)) == 1
    log = log_of(tmp_path)
    failed, looking, verdict = (
        log.index(text) for text in ("run failed", "by experiment, at most 60 s", "STATE: ")
    )
    assert failed < looking < verdict
    (folder,) = list_incidents(tmp_path / "work")
    found = Explanation.from_json((folder / RESULT_FILE).read_text())
    assert (found.cause, found.onset) == ("state", 6)
    assert found.elapsed_s < 60
    assert str(folder) in log


def test_the_setting_switches_it_off(tmp_path: Path, people: Path) -> None:
    assert train(tiny_config(tmp_path, people, own_loss=BREAKS), "monitor.explain=False") == 1
    assert "by experiment, at most" not in log_of(tmp_path)
    (folder,) = list_incidents(tmp_path / "work")
    assert not (folder / RESULT_FILE).exists()


def test_a_healthy_run_looks_for_nothing(tmp_path: Path, people: Path) -> None:
    assert train(tiny_config(tmp_path, people), "total_epochs=1") == 0
    assert "by experiment" not in log_of(tmp_path)


def test_an_explanation_that_fails_is_one_line(
    tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no memory left\nand more")

    monkeypatch.setattr(sdpose.explain.ending, "explain_incident", broken)
    assert train(tiny_config(tmp_path, people, own_loss=BREAKS)) == 1
    lines = log_of(tmp_path).splitlines()
    said = [line for line in lines if "the cause could not be looked for" in line]
    assert [line.partition("looked for ")[2] for line in said] == ["(RuntimeError: no memory left)"]


def test_a_signal_ends_it_before_it_begins(tmp_path: Path, people: Path) -> None:
    assert train(tiny_config(tmp_path, people, own_loss=BREAKS), "monitor.explain=False") == 1
    said: list[str] = []
    ask: dict[str, Any] = {"since_iteration": 0, "log": said.append}
    nothing: Any = None  # not looked at before the stop is
    explain_ending(nothing, tmp_path / "work", nothing, nothing, stopped=lambda: True, **ask)
    assert said == []


def test_only_incidents_of_this_process_are_explained(tmp_path: Path, people: Path) -> None:
    assert train(tiny_config(tmp_path, people, own_loss=BREAKS), "monitor.explain=False") == 1
    said: list[str] = []
    nothing: Any = None
    explain_ending(
        nothing,
        tmp_path / "work",
        nothing,
        nothing,
        since_iteration=6,
        stopped=lambda: False,
        log=said.append,
    )
    assert said == []


def test_a_deadline_counts_and_can_be_cut_short() -> None:
    now = [0.0]
    stopped = [False]
    deadline = Deadline(10.0, stopped=lambda: stopped[0], clock=lambda: now[0])
    assert deadline.allows(9.0)
    assert not deadline.allows(11.0)
    now[0] = 9.5
    assert deadline.elapsed_s == 9.5
    assert deadline.allows()
    assert not deadline.allows(1.0)
    stopped[0] = True
    assert not deadline.allows()
    assert Deadline(None).allows(1e9)
