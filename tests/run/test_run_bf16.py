"""Training, evaluation and check in bfloat16 on a CPU: obeyed, named, and warned of where it does not pay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import log_text

from sdpose.assemble.machine import cpu_computes_bf16
from sdpose.cli.main import main

WARNED = "this CPU has no bf16 instructions"
BF16 = ["--cfg-options", "runtime.precision=bf16", "total_epochs=1"]


def give_cpu(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    """This CPU, with these instructions and no others."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(instructions, True))


@pytest.mark.parametrize(("instruction", "warns"), [("avx512_bf16", False), ("avx512_f", True)])
def test_it_trains_and_evaluates(
    config: Path,
    instruction: str,
    warns: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    give_cpu(monkeypatch, instruction)
    assert main(["train", str(config), "--seed", "1", *BF16]) == 0
    assert "on cpu (CPU), bf16 autocast, " in capsys.readouterr().out
    assert (WARNED in log_text(config.parent / "work")) is warns
    latest = config.parent / "work" / "latest.pth"
    assert main(["test", str(config), str(latest), "--work-dir", str(tmp_path / "test"), *BF16]) == 0
    shown = capsys.readouterr().out
    assert "on cpu (CPU), bf16 autocast, " in shown
    assert (f"WARNING: {WARNED}" in shown) is warns
    assert ("set runtime.precision=fp32" in shown) is warns


@pytest.mark.parametrize(
    ("instructions", "warns"),
    [
        ([], True),
        (["avx512_f", "avx2"], True),
        (["avx512_f", "avx512_bf16"], False),
        (["amx_bf16"], False),
        (["bf16"], False),
        (["sve_bf16"], False),
    ],
)
def test_the_check_names_it(
    config: Path,
    instructions: list[str],
    warns: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_cpu(monkeypatch, *instructions)
    assert main(["check", str(config), "--only", "environment", *BF16]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (WARNED in shown) is warns
    assert ("runtime.precision=fp32" in shown) is warns


def test_float32_is_never_warned_of(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_cpu(monkeypatch)
    assert main(["train", str(config), "--seed", "1", "--cfg-options", "total_epochs=1"]) == 0
    assert "on cpu (CPU), float32, " in capsys.readouterr().out
    assert WARNED not in log_text(config.parent / "work")


@pytest.mark.parametrize("has_instructions", [True, False])
def test_an_older_torch_is_asked_as_it_can_be(
    has_instructions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions)
    assert cpu_computes_bf16() is has_instructions
