"""TensorBoard event files, against the package that writes them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from reader_samples import names, series, steps, values

from sdpose.monitor.readers import UnreadableLog, read_log

pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util import tensor_util

LOSSES = [4.0, 2.0, math.nan, 1.0]


def write(folder: Path, *, as_tensor: bool = False) -> Path:
    writer = EventFileWriter(str(folder))
    for step, loss in enumerate(LOSSES):
        scalars = {"train/loss": loss, "val/AP": step / 10, "epoch": step // 2}
        entries = [
            Summary.Value(tag=tag, tensor=tensor_util.make_tensor_proto(np.float32(number)))
            if as_tensor
            else Summary.Value(tag=tag, simple_value=number)
            for tag, number in scalars.items()
        ]
        writer.add_event(Event(step=10 * step, wall_time=1.0, summary=Summary(value=entries)))
    text = tensor_util.make_tensor_proto("a text")
    writer.add_event(Event(step=40, summary=Summary(value=[Summary.Value(tag="note", tensor=text)])))
    writer.close()
    return next(folder.iterdir())


@pytest.mark.parametrize("as_tensor", [False, True])
def test_scalars(as_tensor: bool, tmp_path: Path) -> None:
    log = read_log(write(tmp_path, as_tensor=as_tensor))
    assert log.format == "tensorboard" and names(log) == [("train/loss", "train"), ("val/AP", "val")]
    np.testing.assert_array_equal(values(log, "train/loss"), LOSSES)
    assert steps(log, "train/loss") == [0, 10, 20, 30]
    assert series(log, "val/AP").epochs.tolist() == [0, 0, 1, 1]


def test_a_folder_of_event_files_is_one_run(tmp_path: Path) -> None:
    write(tmp_path)
    assert values(read_log(tmp_path), "val/AP") == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_every_cut_gives_the_whole_records_before_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    data = path.read_bytes()
    counts = []
    for end in range(len(data)):
        path.write_bytes(data[:end])
        try:
            log = read_log(path)
        except UnreadableLog:
            counts.append(0)
        else:
            counts.append(len(series(log, "train/loss").values))
            assert counts[-1] < 4 or end > 0.8 * len(data)
    assert counts == sorted(counts) and set(counts) == {0, 1, 2, 3, 4}
