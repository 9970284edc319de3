"""What is dear and never changed, made by whichever worker of a test session comes first, for all of them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sdpose.export.onnx_file import onnx_bytes
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel


def made_once(paths: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled; `name` says all that it depends on."""
    folder = _of_all_workers(paths) / name
    with _alone(folder):
        if not folder.exists():
            folder.mkdir()
            make(folder)
    return folder


def exported_once(paths: pytest.TempPathFactory, trained: TrainedModel, facts: ModelFacts) -> bytes:
    """`onnx_bytes`, which takes some five seconds, once for the same weights and the same facts but names."""
    import onnx

    from sdpose.export.onnx_file import finished

    content = hashlib.sha256(repr(replace(facts, name="", source="")).encode())
    for tensor in trained.model.state_dict().values():
        content.update(tensor.numpy().tobytes())
    path = _of_all_workers(paths) / f"{content.hexdigest()[:16]}.onnx"
    with _alone(path):
        if not path.exists():
            path.write_bytes(onnx_bytes(trained, facts))
    return finished(onnx.load(path), facts)


def _of_all_workers(paths: pytest.TempPathFactory) -> Path:
    own = paths.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One worker at a time; the others wait, and find what it made."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
