"""The sets that growth and start-up are measured on, and what is read from a training's log."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.growth import SIZE_WH, people_in_images, repeated
from benchmarks.startup import (
    PHOTOGRAPHS_A_SIZE,
    VAL_DETECTIONS,
    cpu_s,
    detections,
    photograph_of,
    timed_step,
)

LOG_LINE = (
    "Epoch [1][1/1]\tlr: 1.000e-06, eta: 0:00:00, time: 7.516, data_time: 0.493, "
    "heatmap_loss: 0.1145, loss: 0.1148"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(PHOTOGRAPHS_A_SIZE):
        photograph_of(tmp_path, SIZE_WH, index).touch()
    return tmp_path


def test_a_repeated_set_has_each_person_in_its_own_copy_of_the_photograph(folder: Path) -> None:
    small = people_in_images(folder, 3)
    large = repeated(small, 5 * len(small) - 2)
    assert len(large) == 5 * len(small) - 2
    assert len(large.table.image_paths) == 5 * PHOTOGRAPHS_A_SIZE
    copies = large.persons.image_index // PHOTOGRAPHS_A_SIZE
    assert np.array_equal(copies, np.arange(len(large)) // len(small))
    for row in (0, len(small), len(large) - 1):
        path = Path(large.table.image_paths[int(large.persons.image_index[row])])
        original = Path(small.table.image_paths[int(small.persons.image_index[row % len(small)])])
        assert path.resolve() == original.resolve()


def test_boxes_lie_in_their_photographs(folder: Path) -> None:
    boxes = people_in_images(folder, 16).persons.boxes_xywh
    assert len(boxes) == 16 * PHOTOGRAPHS_A_SIZE
    assert (boxes >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= SIZE_WH).all()


def test_detections_belong_to_the_images() -> None:
    images = [{"id": 7, "width": 640, "height": 480}, {"id": 9, "width": 100, "height": 200}]
    found = detections(images)
    assert len(found) == VAL_DETECTIONS
    assert {entry["image_id"] for entry in found} == {7, 9}


@pytest.mark.parametrize(("line", "seconds"), [(LOG_LINE, 7.023), ("Start running, work_dir: x", None)])
def test_the_computing_of_the_first_step_is_read_from_the_log(line: str, seconds: float | None) -> None:
    assert timed_step(line) == (None if seconds is None else pytest.approx(seconds))


def test_processor_time_is_the_childs() -> None:
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    assert 0.3 <= cpu_s([sys.executable, "-c", busy]) < 1.5


def test_a_command_that_fails_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        cpu_s([sys.executable, "-c", "raise SystemExit(3)"])
