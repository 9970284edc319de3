"""A run that was stopped in any way and goes on is the run that was never stopped: to the last bit."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import (
    differences,
    json_log,
    log_text,
    one_error,
    python,
    train_until,
)

from sdpose.cli.main import main
from sdpose.evaluate import Evaluator
from sdpose.run import Run
from sdpose.training.checkpoint import load_checkpoint
from sdpose.verify import checkpoint_differences, log_differences

RESCUE_ALWAYS = "runtime.rescue_minutes=1e-9"  # a checkpoint after every iteration


def resume(config: Path, work_dir: Path, *options: str, wanted: str = "auto") -> int:
    """`sdpose train CONFIG --resume-from WANTED` in this process."""
    arguments = ["train", str(config), "--work-dir", str(work_dir), "--resume-from", wanted]
    return main([*arguments, "--cfg-options", *options] if options else arguments)


@pytest.mark.parametrize(
    ("iteration", "workers", "workers_after"),
    [(1, 2, 0), (3, 0, 2), (6, 2, 2)],
    ids=["first iteration", "middle of epoch 1", "middle of epoch 2"],
)
def test_killed_anywhere_it_ends_the_same(
    straight: Path, config: Path, tmp_path: Path, iteration: int, workers: int, workers_after: int
) -> None:
    work_dir = tmp_path / "killed"
    options = [f"data.workers_per_gpu={workers}", RESCUE_ALWAYS]
    ended = train_until(
        config,
        work_dir,
        *["--seed", 1, "--cfg-options", *options],
        iteration=iteration,
        number=signal.SIGKILL,
        cold=iteration == 6,
    )
    assert ended.code == -signal.SIGKILL, ended
    assert not (work_dir / "epoch_2.pth").exists()
    # The seed is the checkpoint's; it is given for the case that the very first iteration was not saved yet.
    arguments = ["--seed", "1", "--work-dir", str(work_dir), "--resume-from", "auto"]
    options = [f"data.workers_per_gpu={workers_after}"]
    assert main(["train", str(config), *arguments, "--cfg-options", *options]) == 0
    assert differences(straight, work_dir) == []


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 0)],
    ids=["SIGTERM", "Ctrl-C"],
)
def test_a_wish_to_stop_is_obeyed_after_saving(
    straight: Path, config: Path, tmp_path: Path, number: signal.Signals, code: int, workers: int
) -> None:
    work_dir = tmp_path / "stopped"
    words = ["--seed", 1, "--cfg-options", f"data.workers_per_gpu={workers}"]
    ended = train_until(config, work_dir, *words, iteration=2, number=number)
    assert ended.code == code, ended
    (saved,) = work_dir.glob("iter_*.pth")
    assert f"stopped by {number.name}; everything is saved: go on with --resume-from {saved}" in ended.out
    assert (work_dir / "latest.pth").readlink() == Path(saved.name)
    assert (work_dir / "training_stats.txt").exists()
    assert resume(config, work_dir, wanted=str(saved)) == 0
    assert differences(straight, work_dir) == []
    assert not saved.exists(), "superfluous once the epoch is saved"


def test_a_stop_waits_for_the_end_of_an_accumulation_group(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["optimizer_config.type=GradientCumulativeOptimizerHook", "optimizer_config.cumulative_iters=3"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    words = ["train", str(config), "--seed", "1"]
    assert main([*words, "--work-dir", str(straight), "--cfg-options", *options]) == 0

    def terminate(self: Run, batch: Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(Run, "batch_loaded", terminate)
        assert main([*words, "--work-dir", str(stopped), "--cfg-options", *options]) == 143
    # Asked to stop at batch 1; the first step is made after batch 3.
    assert [path.name for path in stopped.glob("iter_*.pth")] == ["iter_3.pth"]
    assert resume(config, stopped, *options) == 0
    assert differences(straight, stopped) == []


def test_a_run_that_died_in_its_evaluation_makes_it_again(
    straight: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_dir = tmp_path / "died"

    def power_cut(self: Evaluator, model: Any, epoch: int) -> None:
        raise ZeroDivisionError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "run", power_cut)
        with pytest.raises(ZeroDivisionError):
            main(["train", str(config), "--seed", "1", "--work-dir", str(work_dir)])
    assert resume(config, work_dir) == 0
    assert differences(straight, work_dir) == []


def test_a_damaged_newest_checkpoint_is_passed_over_loudly(
    straight: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir = tmp_path / "work"
    work_dir.mkdir()
    for name in ("epoch_1.pth", "epoch_2.pth"):
        shutil.copy(straight / name, work_dir)
    newest = work_dir / "epoch_2.pth"
    newest.write_bytes(newest.read_bytes()[:-1000])
    (work_dir / "latest.pth").symlink_to("epoch_2.pth")
    assert resume(config, work_dir) == 0
    shown = capsys.readouterr().out
    for text in (shown, log_text(work_dir)):
        assert "epoch_2.pth is damaged" in text
        assert "GOING ON FROM epoch_1.pth INSTEAD (epoch 1, iteration 4)" in text
    assert "WARNING: passed over: " in shown
    assert not list(checkpoint_differences(straight / "latest.pth", work_dir / "latest.pth"))


def test_nothing_to_resume_begins_and_says_so(config: Path, tmp_path: Path, straight: Path) -> None:
    work_dir = tmp_path / "empty"
    arguments = ["--seed", "1", "--work-dir", str(work_dir), "--resume-from", "auto"]
    assert main(["train", str(config), *arguments]) == 0
    assert f"nothing to resume in {work_dir}, starting from the beginning" in log_text(work_dir)
    assert differences(straight, work_dir) == []


def official_copy(ours: Path, path: Path) -> None:
    """The checkpoint as mmcv 1.3.8 would have written it: three keys, and a numpy number in `hook_msgs`."""
    checkpoint = load_checkpoint(ours)
    meta = copy.deepcopy(checkpoint.meta)
    meta["hook_msgs"] = {"best_score": np.float64(0.25), "best_ckpt": "work_dirs/toy/best_AP_epoch_1.pth"}
    torch.save({"meta": meta, "state_dict": checkpoint.state_dict, "optimizer": checkpoint.optimizer}, path)


def test_an_official_checkpoint_goes_on_with_its_optimizer(
    straight: Path, config: Path, tmp_path: Path
) -> None:
    official = tmp_path / "theirs" / "epoch_1.pth"
    official.parent.mkdir()
    official_copy(straight / "epoch_1.pth", official)
    work_dir = tmp_path / "resumed"
    assert resume(config, work_dir, wanted=str(official)) == 0
    assert f"resumed from an official checkpoint {official}: weights, optimizer" in log_text(work_dir)
    assert [(entry["mode"], entry["epoch"]) for entry in json_log(work_dir)] == [
        *([("train", 2)] * 4),
        ("val", 2),
    ]
    # The seed is in `meta`, samples and learning rate depend on epoch and iteration alone: even this is exact.
    assert not list(checkpoint_differences(straight / "latest.pth", work_dir / "latest.pth"))
    # The best score rides in hook_msgs; 0.25 was not reached again, so no new best file appears.
    assert not list(work_dir.glob("best_*"))
    assert load_checkpoint(work_dir / "latest.pth").hook_msgs["best_score"] == 0.25


def test_another_batch_size_goes_on_and_says_that_it_is_another_run(
    straight: Path, config: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / "resumed"
    options = ["data.samples_per_gpu=24", "runtime.limit_train_batches=None"]
    assert resume(config, work_dir, *options, wanted=str(straight / "epoch_1.pth")) == 0
    expected = "was saved with 1 process(es) and 4 iterations an epoch, now there are 1 and 3"
    assert expected in log_text(work_dir)


def test_verify_resume_says_identical(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = ["--epochs", "2", "--batches", "2", "--kills", "1"]
    assert main(["verify-resume", str(config), *lengths]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("IDENTICAL, bit for bit: ")
    assert "4 log lines; killed after iteration" in last


def test_one_changed_bit_of_a_weight_is_found(straight: Path, tmp_path: Path) -> None:
    content = torch.load(straight / "epoch_2.pth", weights_only=True)
    del content["sdpose"]
    changed = tmp_path / "changed.pth"
    for part, tensor in (
        ("state_dict", content["state_dict"]["keypoint_head.tokenpose.pos_embedding"]),
        ("optimizer", content["optimizer"]["state"][1]["exp_avg"]),
    ):
        value = tensor.view(torch.int32).view(-1)
        value[0] ^= 1
        torch.save(content, changed)
        (found,) = checkpoint_differences(straight / "epoch_2.pth", changed)
        assert found.startswith(part)
        assert "differs by up to" in found
        value[0] ^= 1
    torch.save(content, changed)
    assert list(checkpoint_differences(straight / "epoch_2.pth", changed)) == []


@pytest.mark.parametrize(
    ("killed", "found"),
    [
        ({"loss": 0.5}, []),
        ({"loss": 0.5000001}, ["log line (train, epoch 1, iteration 2) differs in loss"]),
        (None, ["log line (train, epoch 1, iteration 2) is only in the uninterrupted run"]),
    ],
)
def test_one_other_logged_value_is_found(killed: dict[str, float] | None, found: list[str]) -> None:
    key = ("train", 1, 2)
    assert list(log_differences({key: {"loss": 0.5}}, {key: killed} if killed else {})) == found


def test_nan_equals_nan_in_the_log() -> None:
    key = ("val", 1, 2)
    assert not list(log_differences({key: {"AP": float("nan")}}, {key: {"AP": json.loads("NaN")}}))


def test_verify_resume_refuses_a_folder_in_use(config: Path, tmp_path: Path) -> None:
    (tmp_path / "proof" / "killed").mkdir(parents=True)
    (tmp_path / "proof" / "killed" / "epoch_1.pth").touch()
    ended = python("-m", "sdpose.cli.main", "verify-resume", config, "--work-dir", tmp_path / "proof")
    assert "already holds checkpoints; name an empty folder with --work-dir" in one_error(ended)
