"""Folders: a run of ours over its resumes, and where other trainers put their logs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import reader_samples as samples
from reader_samples import series, steps, values

from sdpose.monitor.readers import UnreadableLog, read_log

OURS = json.dumps({"env_info": "sdpose: 0.1.0\nPyTorch: 2.13", "seed": 0, "hook_msgs": {}})


def entry(epoch: int, iteration: int, loss: float) -> str:
    return json.dumps({"mode": "train", "epoch": epoch, "iter": iteration, "lr": 0.1, "loss": loss})


def score(epoch: int, ap: float) -> str:
    return json.dumps({"mode": "val", "epoch": epoch, "iter": 3, "lr": 0.1, "AP": ap})


def write(folder: Path, name: str, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def test_what_a_resume_did_again_replaces_what_stood_there(tmp_path: Path) -> None:
    first = [
        entry(1, 5, 9.0),
        entry(1, 10, 8.0),
        score(1, 0.1),
        entry(2, 5, 7.0),
        entry(2, 10, 6.0),
        score(2, 0.2),
    ]
    write(tmp_path, "20240131_120000.log.json", OURS, *first)
    write(tmp_path, "20240131_130000.log.json", OURS, entry(2, 5, 5.5), entry(2, 10, 4.5), score(2, 0.3))
    write(tmp_path, "20240131_130000.log", "Epoch [2][5/10]\tlr: 1e-1", "max: 30 epochs")
    log = read_log(tmp_path)
    assert log.format == "sdpose" and log.path == tmp_path and log.total_epochs == 30
    assert values(log, "loss") == [9.0, 8.0, 5.5, 4.5] and steps(log, "loss") == [5, 10, 15, 20]
    assert values(log, "AP") == [0.1, 0.3] and steps(log, "AP") == [10, 20]
    # Rows go on counting through the second file.
    assert series(log, "loss").rows.tolist() == [2, 3, 9, 10] and log.num_rows == 11
    assert log.facts["files"] == [("20240131_120000.log.json", 1), ("20240131_130000.log.json", 8)]
    assert log.notes == ("20240131_130000.log.json did 3 entries of earlier files again: they count",)
    assert log.restarts == ()


def test_a_resume_that_goes_on_replaces_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.log.json", OURS, entry(1, 5, 9.0), score(1, 0.1))
    write(tmp_path, "b.log.json", OURS, entry(2, 5, 8.0), score(2, 0.2))
    log = read_log(tmp_path)
    assert values(log, "loss") == [9.0, 8.0] and values(log, "AP") == [0.1, 0.2] and log.notes == ()


def test_alerts_of_the_run_and_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path, "a.log.json", OURS, entry(1, 5, 9.0))
    (tmp_path / "b.log.json").touch()
    write(tmp_path, "alerts.jsonl", json.dumps({"kind": "loss_spike", "iteration": 5}), '{"kind": "half')
    log = read_log(tmp_path)
    assert log.facts["alerts"] == [{"kind": "loss_spike", "iteration": 5}] and log.notes == (
        "b.log.json is empty",
    )


def test_mmcv_work_dirs_are_merged_too(tmp_path: Path) -> None:
    write(tmp_path, "x.log.json", samples.mmcv_log_json())
    assert read_log(tmp_path).format == "mmcv_logjson"


@pytest.mark.parametrize(
    ("place", "kind", "format_name"),
    [
        ("20240131_120000/vis_data/scalars.json", "mmengine_json", "mmengine_json"),
        ("lightning_logs/version_0/metrics.csv", "lightning_csv", "lightning_csv"),
        ("results.csv", "ultralytics_csv", "ultralytics_csv"),
        ("checkpoint-500/trainer_state.json", "hf_trainer_state", "hf_trainer_state"),
        ("training_log.csv", "keras_csv", "keras_csv"),
        ("train.log", "text_log", "text_log"),
    ],
)
def test_where_trainers_put_their_logs(place: str, kind: str, format_name: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(samples.FORMATS[kind][1]())
    log = read_log(tmp_path)
    assert log.format == format_name and log.path == path and log.notes[0] == f"read {path}"


def test_the_newest_is_read_and_the_others_named(tmp_path: Path) -> None:
    for number, age_s in ((9, 0), (10, 0), (2, 50)):
        path = tmp_path / "lightning_logs" / f"version_{number}" / "metrics.csv"
        path.parent.mkdir(parents=True)
        path.write_text(samples.lightning_csv())
        os.utime(path, (1_000_000 - age_s, 1_000_000 - age_s))
    log = read_log(tmp_path)
    assert log.path.parent.name == "version_10"
    assert "2 more there, name one to read it: " in log.notes[0] and "version_9" in log.notes[0]


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"PK")
    with pytest.raises(
        UnreadableLog, match=r"no training log in this folder; looked for .* name the file itself"
    ):
        read_log(tmp_path)
