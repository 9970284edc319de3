"""Lines read in bulk: the same numbers, to the last bit, as one JSON object after the other."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from dashboard_runs import train, val, write_run

from sdpose.dashboard.own_log import OwnLog
from sdpose.dashboard.regular_lines import read_regular
from sdpose.monitor.readers import read_log


def line(value: str) -> str:
    return f'{{"mode": "train", "epoch": 1, "iter": 2, "loss": {value}, "time": 0.5}}\n'


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "1",
        "-1",
        "0.0",
        "-0.0",
        "0.1",
        "4.2118e-06",
        "1e-05",
        "1E+3",
        "123456789012345",
        "0.000123456",
        "1e22",
    ],
)
def test_numbers_are_those_that_python_reads(text: str) -> None:
    found = read_regular(line(text).encode())
    assert found is not None
    value = float(found.values[0, 2])
    assert value == float(text) and str(value) == str(float(text))


def test_random_numbers_are_exact() -> None:
    draw = random.Random(0)
    texts = [
        f"{draw.uniform(-1, 1) * 10 ** draw.randint(-12, 12):.{draw.randint(1, 15)}g}" for _ in range(5000)
    ]
    texts = [json.dumps(float(text)) for text in texts]
    found = read_regular("".join(map(line, texts)).encode())
    assert found is not None
    assert len(found.lines) > 4500
    assert found.values[:, 2].tolist() == [float(texts[index]) for index in found.lines]


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        '"NaN"',
        "null",
        "true",
        "1.2.3",
        "1e",
        "--1",
        "1e5-3",
        "1-2",
        "1e5.0",
        "",
        " 1",
        "[1]",
        "0.1234567890123456",
    ],
)
def test_anything_else_is_left_to_a_reader_of_json(text: str) -> None:
    found = read_regular((line("0.5") + line(text) + line("0.25")).encode())
    assert found is not None
    assert found.lines.tolist() == [0, 2]


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(val(1, 0.5)),
        '{"mode": "train", "epoch": 1, "iter": 2, "lost": 0.5, "time": 0.5}',
        '{"mode": "train", "epoch": 1, "iter": 2, "time": 0.5, "loss": 0.5}',
        '{"mode": "train", "epoch": 1,"iter": 2, "loss": 0.5, "time": 0.5}',
        '{"mode": "train", "epoch": 1, "iter": 2, "loss": 0.5, "time": 0.5} x',
        '{"mode": "train", "epoch": 1, "iter": 2, "loss": 0.5',
        "",
        "}",
        '":":":":":"',
    ],
)
def test_lines_of_another_shape_are_left_out(other: str) -> None:
    found = read_regular((line("0.5") + other + "\n" + line("0.25")).encode())
    assert found is not None
    assert found.lines.tolist() == [0, 2]
    assert found.values[:, 2].tolist() == [0.5, 0.25]


def test_a_whole_log_read_in_bulk_equals_the_log_read_by_the_reader(tmp_path: Path) -> None:
    rows = []
    for epoch in range(1, 8):
        rows += [train(epoch, i, loss=round(1 / (epoch * 60 + i), 7)) for i in range(1, 61)] + [
            val(epoch, epoch / 10)
        ]
    rows[130] = train(3, 9, loss=float("nan"))
    rows[300]["extra"] = 0.25
    run = write_run(tmp_path / "run", rows)
    log = OwnLog(run)
    while log.refresh(budget_s=1.0)[1]:
        pass
    whole = {(s.mode, s.name): s for s in read_log(run).series}
    found = {(s.mode, s.name): s for s in log.log().series}
    assert found.keys() == whole.keys()
    for key, expected in whole.items():
        np.testing.assert_array_equal(found[key].values, expected.values)
        np.testing.assert_array_equal(found[key].rows, expected.rows)
        np.testing.assert_array_equal(found[key].steps, expected.steps)
