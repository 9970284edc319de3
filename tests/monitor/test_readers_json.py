"""Logs in JSON: mmcv, mmengine, Hugging Face, and histories that people dump."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import reader_samples as samples
from reader_samples import names, read_text, series, steps, values

from sdpose.monitor.readers import UnreadableLog


def test_mmcv_places_training_and_evaluation_in_the_run(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.mmcv_log_json(), "20240131_120000.log.json")
    assert log.format == "mmcv_logjson" and log.total_epochs == 6
    assert names(log) == [("AP", "val"), ("loss", "train"), ("lr", "train"), ("lr", "val")]
    assert steps(log, "loss") == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]
    # `iter` of an evaluation counts its own nine batches; it belongs to the end of its epoch.
    assert steps(log, "AP") == [4, 8, 12, 16, 20, 24]
    assert series(log, "AP").epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert series(log, "loss").rows.tolist()[:3] == [2, 3, 5]
    assert log.facts["lr"] == 0.02 and log.facts["seed"] == 3


def test_mmcv_epoch_length_comes_from_the_text_log_beside(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("... Epoch [1][2/5]\tlr: 1e-2, loss: 1.0\n")
    log = read_text(tmp_path, samples.mmcv_log_json(), "run.log.json")
    assert steps(log, "loss")[:4] == [2, 4, 7, 9] and steps(log, "AP")[0] == 5


@pytest.mark.parametrize(("told", "length"), [(5, 5), (4, 4), (6, 4), (3, 4)])
def test_old_mmcv_tells_the_epoch_length_in_its_evaluations(told: int, length: int, tmp_path: Path) -> None:
    """Only a little above the last line of training: a larger or smaller number counts something else."""
    log = read_text(tmp_path, samples.mmcv_log_json().replace('"iter": 9', f'"iter": {told}'), "a.log.json")
    assert steps(log, "AP")[0] == length


def test_mmcv_counting_iterations_keeps_its_steps(tmp_path: Path) -> None:
    lines = [
        {"mode": "train", "epoch": step // 100 + 1, "iter": step, "loss": 1.0} for step in range(50, 301, 50)
    ]
    entries = [*lines, {"mode": "val", "epoch": 4, "iter": 7, "mIoU": 0.5}]
    log = read_text(tmp_path, "\n".join(map(json.dumps, entries)), "iter.log.json")
    assert steps(log, "loss") == [50, 100, 150, 200, 250, 300]
    assert steps(log, "mIoU") == [300]


def test_mmengine_evaluations_count_epochs_and_stand_where_they_happened(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.mmengine_json(), "scalars.json")
    assert log.format == "mmengine_json"
    assert names(log) == [("coco/AP", "val"), ("loss", "train"), ("lr", "train"), ("time", "val")]
    assert steps(log, "coco/AP") == [4, 8, 12, 16, 20, 24]
    assert series(log, "coco/AP").epochs.tolist() == [1, 2, 3, 4, 5, 6]
    assert log.notes == ("6 scores of -1 left out: COCO's word for 'no such objects'",)


def test_mmengine_evaluations_by_iteration_keep_their_step(tmp_path: Path) -> None:
    lines = [json.dumps({"lr": 0.1, "loss": 1.0, "iter": step, "step": step}) for step in range(50, 1001, 50)]
    lines.insert(10, json.dumps({"mIoU": 51.3, "time": 0.4, "step": 500}))
    log = read_text(tmp_path, "\n".join(lines))
    assert steps(log, "mIoU") == [500] and series(log, "mIoU").mode == "val"


def test_mmengine_evaluations_between_rare_lines_of_training(tmp_path: Path) -> None:
    """Ten iterations an epoch, a line of training every fifty."""
    lines = []
    for epoch in range(1, 11):
        if epoch % 5 == 0:
            lines.append({"lr": 0.1, "loss": 1.0, "epoch": epoch, "iter": 10 * epoch, "step": 10 * epoch})
        lines.append({"AP": epoch / 20, "time": 0.1, "step": epoch})
    log = read_text(tmp_path, "\n".join(map(json.dumps, lines)))
    assert steps(log, "AP") == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert series(log, "AP").epochs.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_any_objects_a_line_are_read(tmp_path: Path) -> None:
    """DETR's log.txt: both splits in one object, lists in between."""
    lines = [
        json.dumps(
            {"train_lr": 1e-4, "train_loss": 9 - e, "test_loss": 8 - e, "test_eval": [0.1, 0.2], "epoch": e}
        )
        for e in range(3)
    ]
    log = read_text(tmp_path, "\n".join(lines), "log.txt")
    assert names(log) == [("test_loss", "val"), ("train_loss", "train"), ("train_lr", "train")]
    assert series(log, "test_loss").epochs.tolist() == [0, 1, 2]


def test_nested_objects_and_numbers_in_quotes(tmp_path: Path) -> None:
    lines = [
        json.dumps({"step": 1, "train": {"loss": "1.5"}}),
        json.dumps({"step": 2, "train": {"loss": "NaN"}}),
    ]
    log = read_text(tmp_path, "\n".join(lines))
    assert values(log, "train/loss")[0] == 1.5 and math.isnan(values(log, "train/loss")[1])


@pytest.mark.parametrize("word", ["NaN", "nan"])
def test_bare_nan_and_infinity_are_values(word: str, tmp_path: Path) -> None:
    lines = [
        f'{{"step": {step}, "loss": {text}}}' for step, text in enumerate(("1.0", word, "-Infinity", "2"), 1)
    ]
    loss = values(read_text(tmp_path, "\n".join(lines)), "loss")
    assert loss[0] == 1.0 and math.isnan(loss[1]) and loss[2] == -math.inf and loss[3] == 2.0


def test_half_lines_are_named_and_left_out(tmp_path: Path) -> None:
    lines = samples.mmengine_json().splitlines()
    lines[3] = lines[3][:20]
    lines[7] = "Traceback (most recent call last):"
    log = read_text(tmp_path, "\n".join(lines)[:-9])
    assert log.notes[0] == f"lines 4, 8, {len(lines)} left out: no whole JSON object"
    assert len(values(log, "loss")) == 22


def test_trainer_state(tmp_path: Path) -> None:
    log = read_text(tmp_path, samples.trainer_state(), "trainer_state.json")
    assert log.format == "hf_trainer_state" and log.total_epochs == 2 and log.num_rows == 9
    assert names(log) == [
        ("eval_loss", "val"),
        ("eval_wer", "val"),
        ("learning_rate", "train"),
        ("loss", "train"),
    ]
    assert steps(log, "loss") == [10, 20, 30, 40, 50, 60]
    assert series(log, "eval_loss").rows.tolist() == [3, 7]
    # The summary at the end is a mean over the run, no point of its curve.
    assert log.facts["train_loss"] == 0.7


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_trainer_state_cut_off_gives_its_whole_entries(share: float, tmp_path: Path) -> None:
    whole = samples.trainer_state()
    text = whole[: int(share * len(whole))]
    log = read_text(tmp_path, text, "trainer_state.json")
    count = text.count('"step": ') - (not text.rstrip().endswith("}"))
    assert "cut off" in log.notes[0] and log.format == "hf_trainer_state"
    assert (
        values(log, "loss")
        == [samples.falling(step) for step in range(10, 61, 10)][: len(values(log, "loss"))]
    )
    assert count - 2 <= log.num_rows <= count + 1


@pytest.mark.parametrize("wrap", [lambda history: history, lambda history: {"history": history}])
def test_a_dumped_keras_history(wrap: object, tmp_path: Path) -> None:
    history = {"loss": [1.0, 0.5, float("nan")], "val_loss": [1.1, 0.9, 0.8], "lr": [0.1, 0.1, 0.1]}
    log = read_text(tmp_path, json.dumps(wrap(history)), "history.json")  # type: ignore[operator]
    assert log.format == "json_history"
    assert names(log) == [("loss", "train"), ("lr", "train"), ("val_loss", "val")]
    assert series(log, "val_loss").epochs.tolist() == [0, 1, 2]
    assert math.isnan(values(log, "loss")[2])


def test_a_list_of_rows(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "val_loss": 0.6}]
    log = read_text(tmp_path, json.dumps(rows, indent=1), "rows.json")
    assert values(log, "loss") == [0.5, 0.4] and series(log, "val_loss").rows.tolist() == [1]


@pytest.mark.parametrize(
    "text", ['{"name": "x", "version": "1.0"}', "[1, 2, 3]", "{}", "[]", '{"a": 1}\n{"a": 2}\n']
)
def test_json_without_losses_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableLog, match="no losses or scores in it"):
        read_text(tmp_path, text, "package.json")


def test_a_resume_in_the_same_file_is_a_restart(tmp_path: Path) -> None:
    lines = [json.dumps({"loss": 1.0, "step": step}) for step in [*range(10, 101, 10), *range(60, 121, 10)]]
    assert read_text(tmp_path, "\n".join(lines)).restarts == (11,)


def test_a_line_out_of_order_is_no_restart(tmp_path: Path) -> None:
    order = [10, 20, 10, 30, 40, 30, 50, 60]
    lines = [json.dumps({"loss": 1.0, "step": step}) for step in order]
    assert read_text(tmp_path, "\n".join(lines)).restarts == ()
