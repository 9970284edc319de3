"""What is dear and never changed, made by whichever worker of a test session comes first, for all of them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sdpose.export.onnx_file import finished, onnx_bytes
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel


def made_once(paths: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled; `name` says all that it depends on."""
    folder = _of_all_workers(paths) / name
    with _once(folder) as is_made:
        if not is_made:
            shutil.rmtree(folder, ignore_errors=True)  # of one who failed
            folder.mkdir()
            make(folder)
    return folder


def exported_once(paths: pytest.TempPathFactory, trained: TrainedModel, facts: ModelFacts) -> bytes:
    """`onnx_bytes`, which takes some five seconds, once for the same weights and the same facts but names."""
    import onnx

    content = hashlib.sha256(repr(replace(facts, name="", source="")).encode())
    for tensor in trained.model.state_dict().values():
        content.update(tensor.numpy().tobytes())
    path = _of_all_workers(paths) / f"{content.hexdigest()[:16]}.onnx"
    with _once(path) as is_made:
        if not is_made:
            path.write_bytes(onnx_bytes(trained, facts))
    return finished(onnx.load(path), facts)


def _of_all_workers(paths: pytest.TempPathFactory) -> Path:
    own = paths.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def _once(path: Path) -> Iterator[bool]:
    """Whether it is made; who is told that it is not makes it, while the others wait."""
    with path.with_name(f"{path.name}.made_once").open("a+") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        state.seek(0)
        yield state.read() == "made"
        state.truncate(0)
        state.write("made")
