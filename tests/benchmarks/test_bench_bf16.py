"""bfloat16 beside float32: absent where the CPU imitates it, and a table of what it does to the joints."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import bf16
from benchmarks.quick import SCRIPTS, outcome_of


def test_a_cpu_without_the_instructions_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "bf16" in SCRIPTS
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    outcome = outcome_of("benchmarks.bf16")
    assert outcome.ratios == ()
    assert outcome.error is None
    assert "this CPU has no bf16 instructions" in str(outcome.missing)


def test_the_joints_of_the_demo_hardly_move(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bf16", "--joints", "--images", "4"])
    bf16.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[0] for row in rows] == ["float32", "bf16"]
    assert [float(cell) for cell in rows[0][2:]] == [0, 0, 0, 0]
    assert 0 < float(rows[1][3]) < 0.5
    assert abs(float(rows[1][2])) < 0.05
