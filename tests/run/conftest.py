"""People drawn once, and one short training of them that was never interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from made_once import made_once
from tiny_runs import Ended, draw_people, python, write_config


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 8 validation pictures with 55 and 24 people."""
    return made_once(tmp_path_factory, "people", draw_people)


@pytest.fixture
def config(tmp_path: Path, people: Path) -> Path:
    """The tiny config in this test's own folder; its work_dir is `work` beside it."""
    return write_config(tmp_path, people)


@pytest.fixture(scope="session")
def straight_config(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    """The config of `straight`."""

    def train(folder: Path) -> None:
        # The door and the start as a person has them: what all others are compared with.
        ended = python("tools/train.py", write_config(folder, people), "--seed", "1", cold=True)
        (folder / "ended.json").write_text(json.dumps(asdict(ended)), encoding="utf-8")

    return made_once(tmp_path_factory, "straight", train) / "tiny.py"


@pytest.fixture(scope="session")
def straight_ended(straight_config: Path) -> Ended:
    """How `python tools/train.py CONFIG --seed 1` ended."""
    return Ended(**json.loads((straight_config.parent / "ended.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def straight(straight_config: Path, straight_ended: Ended) -> Path:
    """Work dir of two epochs of four iterations without interruption; not to be changed."""
    assert straight_ended.code == 0, straight_ended
    return straight_config.parent / "work"


@pytest.fixture(autouse=True)
def same_machine_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """English, and as many threads in this process as in the commands: sums are then the same to the bit."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
