"""What every page's reader starts from, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from made_once import exported_once, made_once
from reader import Reader
from sandbox import Prepared, prepare

from sdpose.evaluation import noise
from sdpose.export import job


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LC_ALL", "C.UTF-8")
        folder = made_once(tmp_path_factory, "prepared", lambda folder: prepare(folder, monkeypatch))
    torch.set_num_threads(before)
    return Prepared(folder)


@pytest.fixture
def read_page(
    tmp_path: Path,
    prepared: Prepared,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Path], None]]:
    """Types every command of a page."""
    monkeypatch.setattr(job, "onnx_bytes", partial(exported_once, tmp_path_factory))
    # 500 draws for the intervals of AP would be half of the time of such small trainings.
    monkeypatch.setattr(noise, "draws", partial(noise.draws, num_draws=25))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda page: Reader(page, tmp_path, prepared, capsys).read()
    torch.set_num_threads(before)
