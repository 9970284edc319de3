"""Faults of the machine and of what the check relies on."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from checked import check

from sdpose.check import environment
from sdpose.check import resume as resume_question


class Usage(NamedTuple):
    free: int


def test_too_little_shared_memory_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1_000_000))
    answers = check(capsys, config, "--only", "environment")
    assert answers.named("fail") == {"shared memory"}
    assert "--shm-size" in answers.lines["shared memory"]["cure"]


def test_too_few_open_files_are_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 100))
    answers = check(capsys, config, "--only", "environment")
    assert answers.status("open files") == "warn"
    assert answers.lines["open files"]["cure"].startswith("ulimit -n 4096")


def test_more_workers_than_cores_are_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = check(capsys, config, "--only", "environment", "--cfg-options", "data.workers_per_gpu=500")
    assert answers.status("cores") == "warn"
    assert "data.workers_per_gpu=" in answers.lines["cores"]["cure"]


def test_without_workers_their_limits_are_not_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = check(capsys, config, "--only", "environment", "--cfg-options", "data.workers_per_gpu=0")
    assert not {"shared memory", "open files"} & answers.lines.keys()


def test_the_guides_hook_file_that_cannot_be_imported_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(capsys, config, "--only", "environment").status("hook import") == "pass"
    monkeypatch.setitem(sys.modules, environment.HOOK_MODULE, None)
    answers = check(capsys, config, "--only", "environment")
    assert answers.status("hook import") == "warn"
    assert "pip install -e ." in answers.lines["hook import"]["cure"]


def test_another_package_of_that_name_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, environment.HOOK_MODULE, type(sys)("training_monitor_hook"))
    answers = check(capsys, config, "--only", "environment")
    assert answers.status("hook import") == "warn"
    assert "another distilpose" in answers.lines["hook import"]["text"]


def test_code_of_the_user_that_cannot_be_imported_is_named(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text() + "custom_imports = dict(imports=['absent.py'])\n")
    answers = check(capsys, config, "--only", "environment")
    assert answers.named("fail") == {"environment"}
    assert "absent.py could not be imported" in answers.content["lines"][-1]["text"]


@pytest.mark.parametrize(
    ("installed", "bounds", "fits"),
    [
        ("2.13.0+cpu", ">=2.10", True),
        ("2.9.1", ">=2.10", False),
        ("4.14.0.94", ">=4.10,<5", True),
        ("5.0.0", ">=4.10,<5", False),
        ("1.6", "", True),
    ],
)
def test_versions_are_compared_as_numbers(installed: str, bounds: str, fits: bool) -> None:
    assert environment._fits(installed, bounds) is fits


def test_an_old_package_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["torch>=99.1", "absent-package>=1", "pytest>=8; extra == 'dev'"]
    monkeypatch.setattr(environment.metadata, "requires", lambda name: wanted)
    answers = check(capsys, config, "--only", "environment")
    line = answers.lines["versions"]
    assert line["status"] == "fail"
    assert "needed is >=99.1; absent-package is not installed" in line["text"]


def test_a_gpu_that_this_pytorch_cannot_use_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this PyTorch can use the GPU")
    monkeypatch.setattr(environment, "_driver", lambda: "570.1, NVIDIA H200")
    line = check(capsys, config, "--only", "environment").lines["GPU"]
    assert line["status"] == "warn"
    assert "570.1, NVIDIA H200" in line["text"]


def test_a_resume_that_forgets_something_is_found(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(*_: Any, **__: Any) -> list[str]:
        return []

    monkeypatch.setattr(resume_question, "load_optimizer_state", forget)
    line = check(capsys, config, "--only", "resume").lines["resume"]
    assert line["status"] == "fail"
    assert "after the next step differ" in line["text"]
