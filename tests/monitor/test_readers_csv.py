"""Logs in CSV: Lightning, Ultralytics, Keras and what people write themselves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import reader_samples as samples
from reader_samples import names, read_text, series, steps, values

from sdpose.monitor.readers import UnreadableLog


def test_lightning_leaves_cells_empty_in_turns(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.lightning_csv(), "metrics.csv")
    assert log.format == "lightning_csv" and log.notes == ()
    assert steps(log, "train_loss") == steps(log, "val_loss") == [3, 7, 11, 15, 19, 23]
    assert series(log, "val_loss").mode == "val"
    assert series(log, "val_loss").rows.tolist() == [3, 5, 7, 9, 11, 13]
    assert series(log, "train_loss").epochs.tolist() == [0, 1, 2, 3, 4, 5]


def test_old_lightning_has_no_step(tmp_path: Path) -> None:
    text = "train_loss,epoch,created_at\n85.9,0,2020-02-05 09:15:56.1\n85.8,1,2020-02-05 09:16:35.1\n"
    log = read_text(tmp_path, text)
    assert log.format == "lightning_csv" and steps(log, "train_loss") == [1, 2]
    assert log.notes == ("columns without numbers left out: created_at",)


def test_ultralytics_pads_its_cells(tmp_path: Path) -> None:
    (tmp_path / "args.yaml").write_text("epochs: 100\nbatch: 16\nlr0: 0.01\n")
    log = read_text(tmp_path, samples.ultralytics_csv(), "results.csv")
    assert log.format == "ultralytics_csv" and log.total_epochs == 100
    assert names(log) == [
        ("lr/pg0", "train"),
        ("metrics/mAP50-95(B)", "val"),
        ("train/box_loss", "train"),
        ("val/box_loss", "val"),
    ]
    assert values(log, "metrics/mAP50-95(B)") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert log.facts == {"lr": 0.01, "batch_size": 16, "total_epochs": 100}


@pytest.mark.parametrize("name", ["x/lr0", "metrics/mAP_0.5:0.95", "train/obj_loss"])
def test_yolov5_is_ultralytics_too(name: str, tmp_path: Path) -> None:
    assert (
        read_text(tmp_path, f"   epoch,  loss, {name}\n  0,  0.1,  0.5\n  1, 0.2, nan\n").format
        == "ultralytics_csv"
    )


def test_keras(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.keras_csv(), "training.log")
    assert log.format == "keras_csv"
    assert series(log, "val_loss").mode == "val" and series(log, "accuracy").mode == "train"
    assert steps(log, "loss") == [1, 2, 3, 4, 5, 6] and series(log, "loss").epochs.tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]


def test_a_counter_within_the_epoch_becomes_the_step_of_the_run(tmp_path: Path) -> None:
    rows = [f"{epoch},{batch},0.7,1.3" for epoch in range(3) for batch in range(4)]
    log = read_text(tmp_path, "\n".join(["Epoch,Batch,Gen Loss,Disc Loss", *rows]))
    assert steps(log, "Gen Loss") == list(range(12)) and log.restarts == ()


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        ("epoch;loss\n1;0,5\n2;1.234,5\n", [0.5, 1234.5]),
        ("epoch\tloss\n1\t.5\n2\t1e-3\n", [0.5, 0.001]),
        ('"epoch","loss","note"\n1,"1,234.5","a, b"\n2,"7",""\n', [1234.5, 7.0]),
        ("epoch|loss\n1|0.5\n2|+0.25\n", [0.5, 0.25]),
        ("| Epoch | loss |\n|---|---|\n| 1 | 0.5 |\n| 2 | 0.4 |\n", [0.5, 0.4]),
        ("  epoch    loss\n-------  ------\n      1     0.5\n      2     0.4\n", [0.5, 0.4]),
        ("loss\n0.5\n0.4\n", [0.5, 0.4]),
        ("# my run\n\n#epoch,loss\n1,85.5%\n2,tensor(0.5)\n", [85.5, 0.5]),
        ("epoch,loss\r\n1,0.5\r\n2,0.4\r\n", [0.5, 0.4]),
        ("epoch,loss\r1,0.5\r2,0.4\r", [0.5, 0.4]),
        (",loss\n0,0.5\n1,0.4\n", [0.5, 0.4]),
        ("epoch,loss\n1,0.5\n2,1.#QNAN\n3,-inf\n", [0.5, math.nan, -math.inf]),
    ],
)
def test_cells_and_what_stands_between_them(text: str, loss: list[float], tmp_path: Path) -> None:
    np.testing.assert_array_equal(values(read_text(tmp_path, text), "loss"), loss)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.keras_csv(), encoding=encoding)
    assert values(log, "loss") == [samples.falling(epoch) for epoch in range(6)]


def test_a_second_header_begins_another_run(tmp_path: Path) -> None:
    log = read_text(tmp_path, "loss,acc\n1,2\n3,4\nloss,acc\n5,6\n7,8\n")
    assert log.restarts == (5,) and values(log, "loss") == [1, 3, 5, 7]
    assert log.notes == ("the header stands again before line 5: another run, or a resumed one",)


def test_counting_that_starts_again_is_another_run(tmp_path: Path) -> None:
    rows = [f"{epoch},0.5" for epoch in [0, 1, 2, 3, 0, 1, 2]]
    assert read_text(tmp_path, "\n".join(["epoch,loss", *rows])).restarts == (6,)


def test_a_header_with_more_columns_in_the_middle(tmp_path: Path) -> None:
    log = read_text(tmp_path, "epoch,loss\n0,1\n1,2\nepoch,loss,val_loss\n2,3,4\n3,5,6\n")
    assert values(log, "loss") == [1, 2, 3, 5] and steps(log, "val_loss") == [3, 4]


def test_a_column_that_tells_the_split(tmp_path: Path) -> None:
    log = read_text(tmp_path, "epoch,phase,loss\n1,train,0.9\n1,val,1.0\n2,train,0.8\n2,val,0.7\n")
    assert values(log, "loss", "train") == [0.9, 0.8] and values(log, "loss", "val") == [1.0, 0.7]


def test_names_that_stand_twice(tmp_path: Path) -> None:
    assert names(read_text(tmp_path, "epoch,loss,loss\n0,1,2\n1,3,4\n")) == [
        ("loss", "train"),
        ("loss (2)", "train"),
    ]


def test_odd_lines_are_named(tmp_path: Path) -> None:
    log = read_text(tmp_path, "epoch,loss\n1,0.5\nKilled\n2,0.4,9\n3,0.3\n\n4,")
    assert values(log, "loss") == [0.5, 0.3]
    assert log.notes == ("lines 3-4 left out: not the 2 cells that the header has",)


def test_half_a_line_at_the_end(tmp_path: Path) -> None:
    log = read_text(tmp_path, "epoch,loss,acc\n1,0.5,0.1\n2,0.4")
    assert values(log, "loss") == [0.5] and log.notes == ("line 3 left out: it is cut off",)


def test_pandas_writes_nan_as_nothing(tmp_path: Path) -> None:
    log = read_text(tmp_path, ",accuracy,loss\n0,0.3,1.2\n1,0.3,1.1\n2,0.3,\n3,0.3,\n")
    assert log.notes == ("loss is empty from line 4 on: read as NaN, which pandas writes so",)
    np.testing.assert_array_equal(values(log, "loss"), [1.2, 1.1, math.nan, math.nan])


@pytest.mark.parametrize(
    "text",
    [
        "epoch,acc,val_loss\n0,1,1\n1,1,\n2,1,1\n3,1,\n",
        "epoch,acc,val_loss\n0,1,\n1,1,\n",
        "epoch,loss\n0,1\n1,\n",
        "epoch,step,acc,loss\n0,1,1,1\n0,2,1,\n0,3,1,\n",
    ],
)
def test_other_empty_cells_are_no_values(text: str, tmp_path: Path) -> None:
    for entry in read_text(tmp_path, text).series:
        assert np.isfinite(entry.values).all()


@pytest.mark.parametrize(
    "text",
    [
        "sepal_length,sepal_width,species\n5.1,3.5,setosa\n4.9,3.0,setosa\n",
        "hidden_size,n_layers,learning_rate,total_time\n100,1,0.01,13.79\n100,2,0.01,19.58\n",
        "1,2,3\n4,5,6\n",
        "name,city\nA,B\nC,D\n",
    ],
)
def test_tables_of_something_else_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="no losses or scores in it"):
        read_text(tmp_path, text, "table.csv")


def test_a_header_alone_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="a header and no row below it yet; wait for the first epoch"):
        read_text(tmp_path, "epoch,loss,val_loss\n")
