"""Damaged, foreign and enormous files: a log or a clear refusal, nothing else."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
import reader_samples as samples
from reader_samples import read_text, values

from sdpose.monitor.readers import TrainingLog, UnreadableLog, files, read_log


def check(log: TrainingLog) -> None:
    """What every log must be, whatever it was read from."""
    assert log.series and log.num_rows > 0
    for entry in log.series:
        size = len(entry.values)
        assert size > 0 and entry.mode in ("train", "val") and entry.name
        for array, kind in (
            (entry.values, np.float64),
            (entry.epochs, np.float64),
            (entry.steps, np.int64),
            (entry.rows, np.int64),
        ):
            assert array.dtype == kind and array.shape == (size,)
        assert (np.diff(entry.rows) >= 0).all()


def survives(path: Path, data: bytes) -> bool:
    """Whether the file is read; a refusal must be one line with the path in it."""
    path.write_bytes(data)
    try:
        log = read_log(path)
    except UnreadableLog as error:
        reason = str(error)
    else:
        check(log)
        return True
    assert str(path) in reason and "\n" not in reason
    return False


@pytest.mark.parametrize("kind", samples.FORMATS)
def test_whole_samples(kind: str, tmp_path: Path) -> None:
    name, make = samples.FORMATS[kind]
    log = read_text(tmp_path, make(), name)
    check(log)
    assert log.format == kind.split()[0]


@pytest.mark.parametrize("kind", samples.FORMATS)
def test_the_name_of_a_file_decides_nothing(kind: str, tmp_path: Path) -> None:
    assert read_text(tmp_path, samples.FORMATS[kind][1](), "something.dat").format == kind.split()[0]


@pytest.mark.parametrize("kind", samples.FORMATS)
def test_cut_off_anywhere(kind: str, tmp_path: Path) -> None:
    data = samples.FORMATS[kind][1]().encode()
    ends = sorted({*range(0, len(data), max(len(data) // 150, 1)), *range(40), len(data) - 1})
    read = [survives(tmp_path / "cut.log", data[:end]) for end in ends]
    # Half a file is a log in every format.
    assert all(read[len(read) // 2 :])


@pytest.mark.parametrize("kind", samples.FORMATS)
def test_bytes_flipped_doubled_and_lost(kind: str, tmp_path: Path) -> None:
    chance = random.Random(kind)
    whole = samples.FORMATS[kind][1]().encode()
    num_read = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3, 20])):
            place = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[place] ^= 1 << chance.randrange(8)
                case 1:
                    data[place] = chance.choice(b'",;\n\r\t{}[]:=|/\\ \x00\xff0.-en\x08\x1b%')
                case 2:
                    del data[place : place + chance.randrange(1, 60)]
                case _:
                    data[place:place] = data[chance.randrange(len(data)) :][:90]
        num_read += survives(tmp_path / "flipped.log", bytes(data))
    assert num_read > 75


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\n\t\n", "the file is empty"),
        (b"\x00" * 4096, "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (bytes(range(256)) * 8, "not text"),
        (b"PK\x03\x04" + b"x" * 99, "a zip archive or a PyTorch checkpoint"),
        (b"\x1f\x8b" + b"x" * 99, "unpack it first: gunzip"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"<html><body>404</body></html>", "no losses or scores in it"),
    ],
)
def test_what_is_no_log(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UnreadableLog, match=reason):
        read_log(path)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="no such file or directory; check the path"):
        read_log(tmp_path / "gone.log")


def test_a_device_is_refused() -> None:
    with pytest.raises(UnreadableLog, match="a device, no file"):
        read_log(Path("/dev/zero"))


def test_zeros_that_a_power_cut_leaves(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.keras_csv() + "\x00" * 512)
    assert len(values(log, "loss")) == 6 and log.notes[0].startswith("512 zero bytes left out")


def test_a_line_that_is_being_written_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n1,0.5\n2,0.25\n3,0.1")
    assert values(read_log(path), "loss") == [0.5, 0.25, 0.1]
    assert values(read_log(path, whole_lines=True), "loss") == [0.5, 0.25]


def test_of_a_huge_file_head_and_end_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 4000)
    text = "epoch,loss\n" + "".join(f"{epoch},0.{epoch:05}\n" for epoch in range(2000))
    log = read_text(tmp_path, text)
    epochs = log.series[0].epochs
    assert epochs[0] == 0 and epochs[-1] == 1999 and 200 < len(epochs) < 400
    assert "MiB in the middle left out" in log.notes[0]


def test_a_quote_that_is_never_closed_swallows_nothing(tmp_path: Path) -> None:
    log = read_text(tmp_path, 'epoch,loss\n1,0.5\n2,"0.4\n3,0.3\n4,0.2\n')
    assert values(log, "loss")[-2:] == [0.3, 0.2]


@pytest.mark.parametrize("nest", ["[" * 100_000, '{"a":' * 100_000, '{"loss": 1, "a": ' + "[" * 50_000])
def test_nests_without_end(nest: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog):
        read_text(tmp_path, nest)


@pytest.mark.parametrize("line", ["{i},{i},0.5,0.25,1e-3", "Epoch {i}: step {i} loss 0.5 acc 0.25 lr 1e-3"])
def test_time_grows_with_the_size_only(line: str, tmp_path: Path) -> None:
    """A guard against reading twice as long a log in four times the time; the speed itself is in docs/monitor.md."""

    def seconds(count: int) -> float:
        text = "epoch,step,loss,acc,lr\n" + "".join(line.format(i=i) + "\n" for i in range(count))
        path = tmp_path / f"{count}.log"
        path.write_text(text)
        started = time.process_time()
        read_log(path)
        return time.process_time() - started

    seconds(100)
    assert seconds(40_000) < 8 * max(seconds(10_000), 0.02)
