"""Logs as they are read while somebody writes them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_runs import STAMP, append, train, val, write_run

from benchmarks.watch import FULL_EPOCHS, write_log
from sdpose.dashboard.curves import inside, smoothed
from sdpose.dashboard.own_log import OwnLog
from sdpose.dashboard.watched_run import WatchedRun
from sdpose.monitor.readers import read_log
from sdpose.monitor.readers.find_runs import find_runs
from sdpose.monitor.thinning import broken, thin


def read(log: OwnLog) -> dict[tuple[str, str], list[float]]:
    while log.refresh(budget_s=1.0)[1]:
        pass
    return {(s.mode, s.name): s.values.tolist() for s in log.log().series}


def steps(log: OwnLog, name: str) -> list[int]:
    return next(s.steps.tolist() for s in log.log().series if s.name == name and s.mode == "train")


def test_a_log_read_as_it_grows_equals_the_log_read_as_a_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [])
    rows: list[dict[str, Any]] = [
        train(1, 5),
        train(1, 10, memory=4000),
        val(1, 0.25),
        train(2, 5),
        val(2, 0.5),
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    log = OwnLog(run)
    for start in range(0, len(text), 37):
        append(run, text[start : start + 37])
        read(log)
    whole = read_log(run)
    found = {(s.mode, s.name): s for s in log.log().series}
    assert found.keys() == {(s.mode, s.name) for s in whole.series}
    for expected in whole.series:
        series = found[expected.mode, expected.name]
        np.testing.assert_array_equal(series.values, expected.values)
        np.testing.assert_array_equal(series.steps, expected.steps)
        np.testing.assert_array_equal(series.epochs, expected.epochs)


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [train(1, 5)])
    log = OwnLog(run)
    line = json.dumps(train(1, 10, loss=0.125))
    append(run, line[:50])
    assert len(read(log)["train", "loss"]) == 1
    append(run, line[50:] + "\n")
    assert read(log)["train", "loss"][-1] == 0.125


def test_damaged_lines_are_left_out_and_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [train(1, 5)])
    append(
        run, "}{ no json\n" + "\x00" * 300 + "\n[1, 2]\n" + '{"mode": "train", "epoch": null, "iter": 3}\n'
    )
    append(run, train(1, 10, loss=0.5))
    log = OwnLog(run)
    assert read(log)["train", "loss"][1:] == [0.5]
    assert log.log().notes == ("2 damaged lines left out",)


def test_a_log_that_cannot_be_read_says_so_and_the_others_are_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [train(1, 5, loss=0.5)])
    # Reading it is refused, also for root.
    (run / "20270101_000000.log.json").mkdir()
    log = OwnLog(run)
    assert read(log)["train", "loss"] == [0.5]
    assert log.log().notes == ("20270101_000000.log.json cannot be read: Is a directory",)


def test_what_a_repair_or_a_resume_does_again_replaces_what_stood_there(tmp_path: Path) -> None:
    rows = [train(1, 5), train(1, 10), val(1, 0.1), train(2, 5), train(1, 10, loss=0.25), val(1, 0.2)]
    run = write_run(tmp_path / "run", rows)
    log = OwnLog(run)
    assert read(log)["val", "AP"] == [0.2]
    assert steps(log, "loss") == [5, 10]
    second = "20260102_000000"
    write_run(run, [train(2, 5, loss=0.75), val(2, 0.4)], stamp=second)
    values = read(log)
    assert values["train", "loss"][1:] == [0.25, 0.75]
    assert values["val", "AP"] == [0.2, 0.4]
    assert log.log().notes == ("3 rows of attempts that the run went back on left out",)


def test_a_value_that_comes_up_late_stands_where_it_came_up(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [train(1, 5), train(1, 10, rank_spread=0.5), train(2, 5)])
    log = OwnLog(run)
    assert read(log)["train", "rank_spread"] == [0.5]
    assert steps(log, "rank_spread") == [10]


def test_a_log_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    log = OwnLog(run)
    assert len(read(log)["train", "loss"]) == 6
    write_run(run, [train(1, 5, loss=0.5)])
    assert read(log)["train", "loss"] == [0.5]


def test_a_deleted_folder_keeps_its_curves_and_says_so(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run")
    run = WatchedRun("x", path, name="run", own=True)
    run.refresh(budget_s=1.0)
    shutil.rmtree(path)
    changed, _ = run.refresh(budget_s=1.0)
    assert changed
    assert run.summary()["state"] == "deleted"
    assert run.summary()["best"] == 0.6
    write_run(path)
    run.refresh(budget_s=1.0)
    assert run.summary()["state"] == "training"


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("", "training"),
        ("run finished; best AP 0.6000 in best_AP_epoch_3.pth; statistics in training_stats.txt", "finished"),
        ("run interrupted; statistics in training_stats.txt", "interrupted"),
        ("run failed: the loss is NaN; statistics in training_stats.txt", "failed"),
        ("run stopped: divergence; best AP 0.1000 in no file; statistics in training_stats.txt", "stopped"),
    ],
)
def test_the_state_is_that_of_the_last_line(tmp_path: Path, ending: str, state: str) -> None:
    path = write_run(tmp_path / "run")
    with (path / f"{STAMP}.log").open("a", encoding="utf-8") as file:
        file.write(f"2026-01-01 00:09:00,000 - mmpose - INFO - {ending}\n")
    run = WatchedRun("x", path, name="run", own=True)
    run.refresh(budget_s=1.0)
    assert run.summary()["state"] == state


def test_a_killed_training_is_silent_after_a_while(tmp_path: Path) -> None:
    import os

    path = write_run(tmp_path / "run")
    long_ago = time.time() - 3600
    os.utime(path / f"{STAMP}.log.json", (long_ago, long_ago))
    run = WatchedRun("x", path, name="run", own=True)
    run.refresh(budget_s=1.0)
    assert run.summary()["state"] == "silent"
    assert run.summary()["changed_at"] == pytest.approx(long_ago, abs=1)


def test_runs_are_found_below_folders_and_runs_and_not_where_a_run_put_things_away(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "run")
    write_run(tmp_path / "a" / "run" / "left_0")
    write_run(tmp_path / "a" / "run" / "below")
    write_run(tmp_path / ".hidden" / "run")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "results.csv").write_text("epoch,train/loss\n1,0.5\n", encoding="utf-8")
    found = {path.relative_to(tmp_path).as_posix(): own for path, own in find_runs([tmp_path])}
    assert found == {"a/run": True, "a/run/below": True, "b": False}


@pytest.mark.parametrize("size", [0, 1, 2, 10, 11, 999, 1000, 12_345])
def test_a_thinned_curve_keeps_its_peaks_and_its_ends(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size)
    chosen = thin(values, 10)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= 14
    if size:
        assert {0, size - 1} <= set(chosen.tolist())
        assert values[chosen].max() == values.max() and values[chosen].min() == values.min()


def test_values_that_are_not_finite_are_marked_and_never_chosen_as_peaks() -> None:
    values = np.arange(1000.0)
    values[500], values[501], values[700] = np.nan, np.inf, -np.inf
    assert broken(values).tolist() == [500, 501, 700]
    assert not {500, 501, 700} & set(thin(values, 100).tolist())


@pytest.mark.parametrize("window", [1, 2, 3, 10, 1000])
def test_smoothing_is_the_mean_around_each_point(window: int) -> None:
    values = np.random.default_rng(0).normal(size=50)
    values[7] = np.nan
    expected = [
        np.nanmean(values[max(0, i - (window - 1) // 2) : i + window // 2 + 1])
        if window > 1 or i != 7
        else np.nan
        for i in range(50)
    ]
    np.testing.assert_allclose(smoothed(values, window), expected)


def test_a_range_has_one_point_more_on_either_side() -> None:
    x = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    assert inside(x, 15, 25) == slice(1, 4)
    assert inside(x, None, None) == slice(0, 5)
    assert inside(x, 100, 200) == slice(4, 5)


@pytest.mark.slow
def test_a_million_rows_are_shown_before_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    num_rows = write_log(tmp_path / "run", epochs=FULL_EPOCHS)
    log = OwnLog(tmp_path / "run")
    started_at = time.monotonic()
    log.refresh(budget_s=0.1)
    sample = {(s.mode, s.name): s for s in log.log().series}
    sampled_s = time.monotonic() - started_at
    assert log.overview
    assert len(sample["train", "loss"].values) > 5000
    assert len(sample["val", "AP"].values) == FULL_EPOCHS, "evaluations are too few to be sampled"
    assert sampled_s < 10
    values = read(log)["train", "loss"]
    read_s = time.monotonic() - started_at
    assert not log.overview
    assert len(values) == num_rows
    started_at = time.monotonic()
    series = next(s for s in log.log().series if s.name == "loss")
    chosen = thin(series.values, 1200)
    thinned_s = time.monotonic() - started_at
    assert series.values[chosen].max() == 0.5
    size = (tmp_path / "run" / f"{STAMP}.log.json").stat().st_size / 2**20
    with capsys.disabled():
        print(
            f"\n{len(values)} rows, {size:.0f} MiB: shown after {sampled_s:.2f} s, read after {read_s:.1f} s, "
            f"a curve of all in {1000 * thinned_s:.0f} ms"
        )
