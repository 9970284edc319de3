"""What every page's reader starts from, made once for a worker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
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
        made = prepare(tmp_path_factory.mktemp("prepared"), monkeypatch)
    torch.set_num_threads(before)
    return made


@pytest.fixture(scope="session")
def exported() -> dict[tuple[str, str], bytes]:
    """What was exported already, by what the file says of itself and by its weights: an export takes 8 s."""
    return {}


@pytest.fixture
def read_page(
    tmp_path: Path,
    prepared: Prepared,
    exported: dict[tuple[str, str], bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Path], None]]:
    """Types every command of a page."""
    really_export = job.onnx_bytes

    def export_once(trained: Any, facts: Any) -> bytes:
        weights = hashlib.sha256()
        for tensor in trained.model.state_dict().values():
            weights.update(tensor.numpy().tobytes())
        # The name is that of the weights' file, which pages choose freely.
        key = repr(replace(facts, name="", source="")), weights.hexdigest()
        if key not in exported:
            exported[key] = really_export(trained, facts)
        return exported[key]

    monkeypatch.setattr(job, "onnx_bytes", export_once)
    # 500 draws for the intervals of AP would be half of the time of such small trainings.
    monkeypatch.setattr(noise, "draws", partial(noise.draws, num_draws=25))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda page: Reader(page, tmp_path, prepared, capsys).read()
    torch.set_num_threads(before)
