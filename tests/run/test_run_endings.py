"""However a run ends, it leaves no process behind and the files say why."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import Ended, json_log, log_text, one_error, python

import sdpose.evaluate
from sdpose.cli.main import main
from sdpose.run import Run
from sdpose.training.checkpoint import load_checkpoint


class Broken(Exception):
    """Stands for any bug."""


def broken(*_: Any, **__: Any) -> Any:
    raise Broken


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Run, "batch_loaded"),
        (Run, "interval_finished"),
        (sdpose.evaluate, "to_coco_results"),
        (sdpose.evaluate.EvaluationOutcome, "__init__"),
    ],
    ids=["in an epoch", "at a log line", "in an evaluation", "after an evaluation"],
)
def test_an_exception_leaves_no_worker_behind(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    arguments = ["--cfg-options", "data.workers_per_gpu=2"]
    with pytest.raises(Broken) as caught:
        main(["train", str(config), *arguments])
    # The traceback, which keeps every loop variable of the run alive, still lives here.
    assert caught.tb is not None
    assert multiprocessing.active_children() == []
    assert "run failed: Broken" in log_text(tmp_path / "work")
    assert (tmp_path / "work" / "training_stats.txt").exists()


def test_an_exception_in_the_middle_of_predicting_leaves_no_worker_behind(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halfway(forward: Any, batches: Any, *_: Any, **__: Any) -> None:
        next(batches)
        raise Broken

    monkeypatch.setattr(sdpose.evaluate, "predict_batches", halfway)
    arguments = ["--cfg-options", "data.workers_per_gpu=2", "data.val_dataloader.samples_per_gpu=4"]
    with pytest.raises(Broken):
        main(["train", str(config), *arguments])
    assert multiprocessing.active_children() == []


BUG = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
from sdpose.run import Run
def broken(*_): raise ZeroDivisionError("a bug")
Run.epoch_finished = broken
from sdpose.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_bug_in_a_background_job_ends_the_process(config: Path) -> None:
    """Where SIGINT is ignored, as shells do for jobs started with &, and workers inherit that."""
    ended = python("-c", BUG, "train", config, "--cfg-options", "data.workers_per_gpu=2")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == "ZeroDivisionError: a bug"


def test_memory_used_up_says_which_batch_to_try(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def greedy(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Run, "batch_loaded", greedy)
    code = main(["train", str(config)])
    shown = capsys.readouterr()
    error = one_error(Ended(code, shown.out, shown.err))
    assert "out of memory with samples_per_gpu=8; try 4: --cfg-options data.samples_per_gpu=4" in error
    assert "run failed: out of memory" in log_text(tmp_path / "work")


def test_a_rescue_checkpoint_is_written_between_epochs(config: Path, tmp_path: Path, straight: Path) -> None:
    """`runtime.rescue_minutes`: the newest in the middle of an epoch, none once the epoch is saved."""
    kept: list[str] = []
    work_dir = tmp_path / "work"
    original = Run._show

    def noted(self: Run, progress: Any) -> None:
        kept.append(",".join(sorted(path.name for path in work_dir.glob("iter_*.pth"))))
        original(self, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_show", noted)
        options = ["--cfg-options", "runtime.rescue_minutes=1e-9"]
        assert main(["train", str(config), "--seed", "1", *options]) == 0
    assert kept == [
        "",
        "",
        "iter_1.pth",
        "iter_2.pth",
        "iter_3.pth",
        "",
        "iter_5.pth",
        "iter_6.pth",
        "iter_7.pth",
    ]
    assert list(work_dir.glob("iter_*.pth")) == []
    ours, theirs = (load_checkpoint(folder / "latest.pth").state_dict for folder in (work_dir, straight))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs), "saving changes nothing"


@pytest.mark.parametrize(
    ("options", "epochs_saved", "epochs_evaluated"),
    [
        (["checkpoint_config.interval=2", "evaluation.interval=2"], [2, 4, 5], [2, 4]),
        (["checkpoint_config.max_keep_ckpts=2", "evaluation.interval=5"], [4, 5], [5]),
        (["checkpoint_config.interval=-1", "evaluation.start=3", "evaluation.interval=1"], [5], [3, 4, 5]),
        (
            ["checkpoint_config.interval=3", "checkpoint_config.save_last=False", "evaluation.interval=4"],
            [3],
            [4],
        ),
    ],
)
def test_checkpoints_and_evaluations_come_when_asked(
    config: Path, tmp_path: Path, options: list[str], epochs_saved: list[int], epochs_evaluated: list[int]
) -> None:
    short = ["total_epochs=5", "runtime.limit_train_batches=1", "data.samples_per_gpu=2", *options]
    assert main(["train", str(config), "--cfg-options", *short]) == 0
    work_dir = tmp_path / "work"
    assert sorted(path.name for path in work_dir.glob("epoch_*.pth")) == [
        f"epoch_{n}.pth" for n in epochs_saved
    ]
    evaluated = [entry["epoch"] for entry in json_log(work_dir) if entry["mode"] == "val"]
    assert evaluated == epochs_evaluated


def test_tensorboard_files_appear_when_asked_for(config: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    text = config.read_text().replace(
        "dict(type='TextLoggerHook')", "dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')"
    )
    config.write_text(text)
    assert main(["train", str(config), "--cfg-options", "total_epochs=1"]) == 0
    assert list((tmp_path / "work").rglob("events.out.tfevents.*"))


def test_resuming_a_finished_run_ends_at_once(config: Path, straight: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "work"
    arguments = ["--resume-from", str(straight / "latest.pth"), "--no-validate"]
    assert main(["train", str(config), *arguments]) == 0
    assert [entry for entry in json_log(work_dir) if entry["mode"] == "train"] == []
    assert "run finished" in log_text(work_dir)
