"""A record holds plain numbers and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from monitor_records import train

from sdpose.monitor import Record

FIELDS: dict[str, Any] = {
    "mode": "train",
    "epoch": 1,
    "iteration": 1,
    "epoch_iteration": 1,
    "epoch_length": 9,
    "values": {},
    "time": 0.0,
}


def test_values_become_plain_floats_in_their_order() -> None:
    record = train(3, 1, heatmap_loss=np.float32(0.5), acc_pose=2)  # type: ignore[arg-type]
    assert list(record.values.items()) == [("heatmap_loss", 0.5), ("acc_pose", 2.0), ("loss", 1.0)]
    assert {type(value) for value in record.values.values()} == {float}


def test_values_are_copied() -> None:
    values = {"loss": 1.0}
    record = Record(**{**FIELDS, "values": values})
    values["loss"] = 2.0
    assert record.values == {"loss": 1.0}


def test_nan_and_infinity_are_allowed() -> None:
    assert math.isnan(train(1, math.nan).values["loss"])
    assert train(1, -math.inf).values["loss"] == -math.inf


class Tensor:
    """Stands for a tensor on a device: it could be made a float, but only by waiting."""

    def __float__(self) -> float:
        raise AssertionError("somebody waited for the device")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "test"}, "record mode is 'test'; expected 'train' or 'val'"),
        ({"iteration": -1}, "record iteration is -1; expected 0 or more"),
        ({"epoch": -2}, "record epoch is -2; expected 0 or more"),
        (
            {"values": {"loss": Tensor()}},
            "record value 'loss' is a Tensor; expected a plain number (a tensor's .item())",
        ),
        (
            {"values": {"lr": [0.1]}},
            "record value 'lr' is a list; expected a plain number (a tensor's .item())",
        ),
    ],
)
def test_anything_else_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        Record(**{**FIELDS, **change})
    assert str(error.value) == message
