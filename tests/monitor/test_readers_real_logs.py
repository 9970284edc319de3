"""Real logs of other people, in the shared data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reader_samples import series

from sdpose.monitor.readers import read_log


@pytest.fixture(scope="module")
def logs(shared: Path) -> Path:
    folder = shared / "data" / "logs"
    if not folder.is_dir():
        pytest.skip(f"needs the shared real logs, not found at {folder}")
    return folder


@pytest.fixture(scope="module")
def labels(logs: Path) -> list[dict[str, Any]]:
    return json.loads((logs / "labels.json").read_text())  # type: ignore[no-any-return]


def test_every_file_is_read_as_what_it_is(logs: Path, labels: list[dict[str, Any]]) -> None:
    found = {label["file"]: read_log(logs / label["file"]) for label in labels}
    assert {name: log.format for name, log in found.items()} == {
        label["file"]: label["format"] for label in labels
    }
    for name, log in found.items():
        assert log.restarts == (), name
        broken = [entry.name for entry in log.series if not np.isfinite(entry.values).all()]
        assert bool(broken) == (next(label["label"] for label in labels if label["file"] == name) == "nan"), (
            name
        )


def test_text_and_json_of_one_run_tell_the_same(logs: Path) -> None:
    text = read_log(next((logs / "text_log").glob("*42425a.log")))
    scalars = read_log(next((logs / "mmengine_json").glob("*7c23aa.json")))
    for name, mode in (("loss", "train"), ("acc_pose", "train"), ("coco/AP", "val"), ("NME", "val")):
        ours, theirs = series(text, name, mode), series(scalars, name, mode)
        np.testing.assert_allclose(ours.values, theirs.values, atol=5.1e-7)
        np.testing.assert_array_equal(ours.steps, theirs.steps)
        np.testing.assert_array_equal(ours.epochs, theirs.epochs)
