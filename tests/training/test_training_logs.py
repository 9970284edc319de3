"""The logs are mmcv's, line for line, with more digits."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from training_samples import names

from sdpose.errors import SdposeError
from sdpose.training import logs
from sdpose.training.atomic_file import StorageError
from sdpose.training.log_format import TrainEntry, ValEntry, json_line, shown_duration, shown_number
from sdpose.training.logs import RemainingTime, RunLog
from sdpose.training.tensorboard import TensorboardScalars

NOON = 1706698800.1234  # in January 2024

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - mmpose - (INFO|WARNING|ERROR) - (.*)")
TRAIN = re.compile(r"Epoch \[(\d+)\]\[(\d+)/(\d+)\]\t(.*)")
VAL = re.compile(r"Epoch\(val\) \[(\d+)\]\[(\d+)\]\t(.*)")


def fields(text: str) -> dict[str, str]:
    """`name: value` pairs of a line; an eta may hold a comma ("1 day, 2:03:04")."""
    return dict(re.findall(r"([A-Za-z_][\w .()]*?): ((?:\d+ days?, )?[^,]+)(?:, |$)", text))


def text_entries(path: Path) -> list[tuple[str, tuple[int, ...], dict[str, str]]]:
    """(mode, numbers in brackets, fields) of all train and val lines, as a plot tool reads them."""
    entries = []
    for line in path.read_text().splitlines():
        message = LINE.fullmatch(line)
        if message is None:
            continue
        for mode, pattern in (("train", TRAIN), ("val", VAL)):
            if found := pattern.fullmatch(message[3]):
                *numbers, rest = found.groups()
                entries.append((mode, tuple(int(number) for number in numbers), fields(rest)))
    return entries


def json_curves(path: Path) -> dict[int, dict[str, list[float]]]:
    """As mmdetection's analyze_logs.py reads it: epoch -> name -> values; lines without an epoch are
    skipped."""
    curves: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if "epoch" not in entry:
            continue
        epoch = entry.pop("epoch")
        for name, value in entry.items():
            curves[epoch][name].append(value)
    return curves


def replay(log: RunLog, sample: Path) -> list[dict[str, Any]]:
    """Log what the genuine run logged."""
    entries = [json.loads(line) for line in sample.read_text().splitlines()]
    log.meta(entries[0])
    for entry in entries[1:]:
        known = {"mode", "epoch", "iter", "lr", "time", "data_time"}
        values = {name: value for name, value in entry.items() if name not in known}
        if entry["mode"] == "train":
            train = TrainEntry(
                entry["epoch"],
                entry["iter"],
                130,
                entry["lr"],
                0.0,
                entry["time"],
                entry["data_time"],
                values,
            )
            log.train(train, run_iteration=(entry["epoch"] - 1) * 130 + entry["iter"])
        else:
            val = ValEntry(entry["epoch"], entry["iter"], entry["lr"], values)
            log.val(val, run_iteration=entry["epoch"] * 130)
    return entries


def test_a_genuine_run_replayed_gives_the_same_lines(tmp_path: Path, parity: Path) -> None:
    sample = parity / "runner_sample" / "sample.log.json"
    with RunLog(tmp_path, clock=lambda: NOON) as log:
        entries = replay(log, sample)
    ours = [json.loads(line) for line in log.json_path.read_text().splitlines()]
    assert ours == entries
    assert [list(entry) for entry in ours] == [list(entry) for entry in entries]
    genuine_text, our_text = text_entries(sample.with_suffix("")), text_entries(log.text_path)
    assert len(genuine_text) == 18
    assert [(mode, numbers, list(found)) for mode, numbers, found in our_text] == [
        (mode, numbers, list(found)) for mode, numbers, found in genuine_text
    ]
    for (_, _, theirs), (_, _, found) in zip(genuine_text, our_text, strict=True):
        for name in theirs.keys() - {"lr", "eta"}:
            assert float(found[name]) == pytest.approx(
                float(theirs[name]), abs=6e-5 if "time" not in name else 6e-4
            )
    assert json_curves(log.json_path)[3]["AP"] == [0.28]


def entry(**values: float) -> TrainEntry:
    return TrainEntry(3, 50, 1000, 1e-6, 93784.4, 0.5123, 0.0512, values)


def test_the_lines_of_the_specification() -> None:
    losses = {"heatmap_loss": 0.0012345, "vis_dist_loss": 2.3e-4, "kpt_dist_loss": 6.1234e-7}
    line = TrainEntry(
        1,
        50,
        2340,
        9.89e-5,
        93784.4,
        0.5123,
        0.0512,
        {**losses, "acc_pose": 0.5123, "grad_norm": 0.0338},
        4321,
    )
    assert line.text() == (
        "Epoch [1][50/2340]\tlr: 9.890e-05, eta: 1 day, 2:03:04, time: 0.512, data_time: 0.051, memory: "
        "4321, "
        "heatmap_loss: 0.001234, vis_dist_loss: 0.0002300, kpt_dist_loss: 6.123e-07, acc_pose: 0.5123, "
        "grad_norm: 0.03380"
    )
    assert line.json() == (
        '{"mode": "train", "epoch": 1, "iter": 50, "lr": 9.89e-05, "memory": 4321, "data_time": 0.0512, '
        '"heatmap_loss": 0.0012345, "vis_dist_loss": 0.00023, "kpt_dist_loss": 6.1234e-07, '
        '"acc_pose": 0.5123, "grad_norm": 0.0338, "time": 0.5123}'
    )
    # Vital signs stand behind what mmcv's readers know, and not in the text.
    with_signs = dataclasses.replace(line, signs={"heatmap_peak": 0.6123456, "kpt_token_std": 0.25})
    assert with_signs.text() == line.text()
    assert with_signs.json() == line.json()[:-1] + ', "heatmap_peak": 0.612346, "kpt_token_std": 0.25}'
    assert ValEntry(10, 199, 1e-3, {"AP": 0.697, "AP .5": 0.88, "AR (L)": 0.0}).text() == (
        "Epoch(val) [10][199]\tAP: 0.6970, AP .5: 0.8800, AR (L): 0.0000"
    )


def test_small_learning_rates_and_token_losses_survive_in_json() -> None:
    read = json.loads(entry(kpt_dist_loss=6.123456789e-7).json())
    assert (read["lr"], read["kpt_dist_loss"]) == (1e-6, 6.12346e-7)


def test_nan_is_written_as_mmcv_writes_it() -> None:
    line = entry(loss=math.nan, grad_norm=math.inf)
    assert line.text().endswith("loss: nan, grad_norm: inf")
    assert line.json().endswith('"loss": NaN, "grad_norm": Infinity, "time": 0.5123}')
    assert math.isnan(json.loads(line.json())["loss"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"), (0.5, "0.5000"), (1.0, "1.0000"), (123.456789, "123.4568"), (-0.25, "-0.2500"),
        (0.1, "0.1000"), (0.0999, "0.09990"), (0.017236, "0.01724"), (1e-3, "0.001000"), (1e-4, "0.0001000"),
        (9.99e-5, "9.990e-05"), (6.123e-7, "6.123e-07"), (-6.1e-7, "-6.100e-07"), (math.nan, "nan"),
        (-math.inf, "-inf"), (12, "12"), (999_999.0, "999999.0000"), (4.898e28, "4.898e+28"), (-2e6, "-2.000e+06"),
    ],
)  # fmt: skip
def test_numbers_keep_four_significant_digits(value: float, shown: str) -> None:
    assert shown_number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00:00"),
        (59.9, "0:00:59"),
        (93784, "1 day, 2:03:04"),
        (-5, "0:00:00"),
        (math.nan, "0:00:00"),
        (math.inf, "0:00:00"),
    ],
)
def test_durations_are_shown_as_mmcv_shows_them(seconds: float, shown: str) -> None:
    assert shown_duration(seconds) == shown


def test_what_is_not_a_float_keeps_its_type_in_json() -> None:
    assert (
        json_line({"env_info": "a\nb", "seed": 3, "hook_msgs": {}})
        == '{"env_info": "a\\nb", "seed": 3, "hook_msgs": {}}'
    )


def grep(folder: Path) -> tuple[int, str]:
    """The guide's command."""
    found = subprocess.run(
        ["grep", "-i", r"nan\|inf", str(folder / "latest.log")], capture_output=True, text=True, check=False
    )
    return found.returncode, found.stdout


def test_the_guides_grep_is_silent_on_a_healthy_run_and_finds_a_nan(tmp_path: Path, parity: Path) -> None:
    log = RunLog(tmp_path)
    log.startup("env_info: dataset_info = dict(...), INFO, nan, inf")
    replay(log, parity / "runner_sample" / "sample.log.json")
    log.info("Saving checkpoint at 1 epochs")
    log.warning("AP fell from 0.31 to 0.28")
    assert grep(tmp_path) == (1, "")
    log.train(entry(loss=math.nan), run_iteration=1)
    code, lines = grep(tmp_path)
    assert code == 0
    assert lines.count("\n") == 1
    assert "loss: nan" in lines
    log.close()


def test_latest_log_has_the_lines_of_this_run_only_without_level_names(tmp_path: Path) -> None:
    with RunLog(tmp_path, clock=lambda: NOON) as first:
        first.info("of the first run")
    with RunLog(tmp_path, clock=lambda: NOON) as second:
        second.startup("environment")
        second.error("of the second run")
    now = second.text_path.read_text()[:23]
    assert (tmp_path / "latest.log").read_text() == (
        f"{now} - mmpose - lines of {second.stamp}.log\n{now} - mmpose - of the second run\n"
    )
    assert second.text_path.read_text() == (
        f"{now} - mmpose - INFO - environment\n{now} - mmpose - ERROR - of the second run\n"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,123", now)


def test_runs_of_one_second_get_stamps_of_their_own(tmp_path: Path) -> None:
    made = [RunLog(tmp_path, clock=lambda: NOON) for _ in range(3)]
    made.append(RunLog(tmp_path, stamp=made[0].stamp))
    stamps = [log.stamp for log in made]
    for log in made:
        log.close()
    assert len(set(stamps)) == 4
    assert all(re.fullmatch(r"\d{8}_\d{6}", stamp) for stamp in stamps)
    assert [int(stamp[-6:]) - int(stamps[0][-6:]) for stamp in stamps] == [0, 1, 2, 3]


def test_a_clock_that_was_set_back_does_not_put_the_newer_log_first(tmp_path: Path) -> None:
    (tmp_path / "notes.log").write_text("of somebody else")
    stamps = []
    for moment in (NOON, NOON - 86400, NOON + 10):
        with RunLog(tmp_path, clock=lambda moment=moment: moment) as log:
            stamps.append(log.stamp)
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == 3


def test_an_old_link_called_latest_log_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious.log").write_text("keep me")
    (tmp_path / "latest.log").symlink_to("precious.log")
    RunLog(tmp_path).close()
    assert (tmp_path / "precious.log").read_text() == "keep me"
    assert not (tmp_path / "latest.log").is_symlink()


def test_the_console_sees_messages_and_entries_and_of_the_start_up_only_what_is_to_be_shown(
    tmp_path: Path,
) -> None:
    seen: list[tuple[str, str]] = []
    with RunLog(tmp_path, console=lambda level, message: seen.append((level, message))) as log:
        log.startup("long")
        log.startup("dataset_info is taken from _base_", level="WARNING", shown=True)
        log.info("a")
        log.warning("b")
        log.val(ValEntry(1, 8, 1e-3, {"AP": 0.5}), run_iteration=1)
    assert seen == [
        ("WARNING", "dataset_info is taken from _base_"),
        ("INFO", "a"),
        ("WARNING", "b"),
        ("INFO", "Epoch(val) [1][8]\tAP: 0.5000"),
    ]
    assert grep(tmp_path) == (1, "")


def test_log_level_warning_leaves_the_json_complete(tmp_path: Path) -> None:
    with RunLog(tmp_path, level="WARNING") as log:
        log.info("a")
        log.warning("b")
        log.train(entry(loss=1.0), run_iteration=1)
    assert [line[24:] for line in log.text_path.read_text().splitlines()] == ["- mmpose - WARNING - b"]
    assert len(log.json_path.read_text().splitlines()) == 1
    with pytest.raises(SdposeError, match="log_level is 'LOUD'"):
        RunLog(tmp_path, level="LOUD")


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with RunLog(tmp_path, enabled=False) as log:
        log.startup("a")
        log.meta({})
        log.info("b")
        log.train(entry(loss=1.0), run_iteration=1)
    assert names(tmp_path) == []


def test_a_killed_run_loses_no_line(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, signal
from sdpose.training.logs import RunLog
from sdpose.training.log_format import ValEntry
log = RunLog(pathlib.Path({str(tmp_path)!r}), stamp="20240131_120000")
for number in range(1000):
    log.info(f"line {{number}}")
log.val(ValEntry(1, 8, 1e-3, {{"AP": 0.5}}), run_iteration=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len((tmp_path / "20240131_120000.log").read_text().splitlines()) == 1001
    assert len((tmp_path / "latest.log").read_text().splitlines()) == 1002
    assert json.loads((tmp_path / "20240131_120000.log.json").read_text())["AP"] == 0.5


def test_a_full_disk_is_said_once_and_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(logs, "_open_new", lambda path: full.open("w"))
    seen: list[tuple[str, str]] = []
    log = RunLog(tmp_path, console=lambda level, message: seen.append((level, message)))
    log.info("a")
    log.info("b")
    log.close()
    errors = [message for level, message in seen if level == "ERROR"]
    assert len(errors) == 1
    assert "the log loses lines" in errors[0]
    assert os.strerror(28) in errors[0]


def test_a_work_dir_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="choose another folder with --work-dir"):
        RunLog(tmp_path / "file" / "run")


def test_remaining_time_is_the_mean_of_this_process_times_what_is_left() -> None:
    remaining = RemainingTime(total_iterations=1000, start_iteration=500)
    assert remaining.update(600, 50.0) == pytest.approx(0.5 * 400)
    assert remaining.update(700, 150.0) == pytest.approx(1.0 * 300)
    assert remaining.update(1000, 0.0) == 0.0


def test_tensorboard_gets_mmcvs_tags(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with RunLog(tmp_path, loggers=[TensorboardScalars(tmp_path / "tf_logs")]) as log:
        log.train(entry(loss=0.25, acc_pose=0.5), run_iteration=2050)
        log.val(ValEntry(3, 8, 1e-3, {"AP": 0.75, "AP .5": 1.0}), run_iteration=3000)
    events = accumulators.EventAccumulator(str(tmp_path / "tf_logs")).Reload()
    found = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert found["train/loss"] == [(2050, 0.25)]
    assert found["val/AP"] == [(3000, 0.75)]
    assert found["learning_rate"] == [(2050, pytest.approx(1e-6)), (3000, pytest.approx(1e-3))]
    assert set(found) == {"train/loss", "train/acc_pose", "val/AP", "val/AP .5", "learning_rate"}


def test_tensorboard_missing_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SdposeError, match=re.escape("pip install 'sdpose[tensorboard]'")):
        TensorboardScalars(tmp_path)
