"""The tiny trainings of tests/run, for their faults to be explained."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from made_once import made_once

sys.path.append(str(Path(__file__).resolve().parent.parent / "run"))

from tiny_runs import draw_people


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 8 validation pictures with 55 and 24 people."""
    return made_once(tmp_path_factory, "people", draw_people)


@pytest.fixture(autouse=True)
def same_machine_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English, and one thread: sums are then the same to the bit."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
