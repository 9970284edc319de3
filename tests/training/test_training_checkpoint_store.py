"""What lies in a work_dir after each save."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_samples import checkpoint_of, names, trained

from sdpose.errors import SdposeError
from sdpose.training import disk_space
from sdpose.training.atomic_file import StorageError, remove_leftovers
from sdpose.training.checkpoint import Checkpoint, load_checkpoint
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.disk_space import estimated_checkpoint_bytes, shown_bytes
from sdpose.training.optim import build_optimizer

MODEL, OPTIMIZER = trained()


def at(epoch: int, *, length: int = 100, batch: int = 0) -> Checkpoint:
    return checkpoint_of(MODEL, OPTIMIZER, epoch=epoch, iteration=epoch * length + batch)


def store(folder: Path, **settings: Any) -> CheckpointStore:
    return CheckpointStore(folder, **{"total_epochs": 6, **settings})


def test_the_genuine_run_leaves_the_same_files(tmp_path: Path) -> None:
    """runner_sample: 6 epochs, max_keep_ckpts 3, AP per epoch as in its log."""
    ours = store(tmp_path, max_keep_ckpts=3)
    for epoch, ap in enumerate([0.1, 0.31, 0.28, 0.45, 0.44, 0.5], 1):
        ours.save_epoch(at(epoch))
        if ours.is_better(ap):
            ours.save_best(at(epoch), ap)
    assert names(tmp_path) == [
        "best_AP_epoch_6.pth",
        "epoch_4.pth",
        "epoch_5.pth",
        "epoch_6.pth",
        "latest.pth",
    ]
    assert str((tmp_path / "latest.pth").readlink()) == "epoch_6.pth"
    latest, best = load_checkpoint(tmp_path / "latest.pth"), load_checkpoint(tmp_path / "best_AP_epoch_6.pth")
    assert latest.hook_msgs == {
        "last_ckpt": str(tmp_path / "epoch_5.pth"),
        "best_score": 0.45,
        "best_ckpt": str(tmp_path / "best_AP_epoch_4.pth"),
    }
    assert best.hook_msgs == {
        "last_ckpt": str(tmp_path / "epoch_6.pth"),
        "best_score": 0.5,
        "best_ckpt": str(tmp_path / "best_AP_epoch_6.pth"),
    }


def test_what_a_run_leaves_behind_when_it_goes_back_is_set_aside(tmp_path: Path) -> None:
    ours = store(tmp_path)
    for epoch in (1, 2, 3):
        ours.save_epoch(at(epoch))
    ours.save_best(at(2), 0.5)
    ours.save_iteration(at(3, batch=7))
    assert ours.set_aside_after(310) is None
    assert ours.set_aside_after(150) == tmp_path / "left_150"
    assert names(tmp_path / "left_150") == ["epoch_2.pth", "epoch_3.pth", "iter_307.pth"]
    ours.save_iteration(at(1))
    assert names(tmp_path) == ["best_AP_epoch_2.pth", "epoch_1.pth", "iter_100.pth", "latest.pth", "left_150"]
    assert str((tmp_path / "latest.pth").readlink()) == "iter_100.pth"


def test_the_state_that_a_repair_may_go_back_to_stays(tmp_path: Path) -> None:
    ours = store(tmp_path)
    ours.save_iteration(at(0, batch=5))
    ours.kept_iteration = 5
    ours.save_iteration(at(0, batch=9))
    ours.save_epoch(at(1))
    assert names(tmp_path) == ["epoch_1.pth", "iter_5.pth", "latest.pth"]
    ours.kept_iteration = None
    ours.save_epoch(at(2))
    assert names(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "latest.pth"]


@pytest.mark.parametrize(
    ("settings", "total", "kept"),
    [
        ({}, 3, [1, 2, 3]),
        ({"interval": 10, "max_keep_ckpts": 3}, 50, [30, 40, 50]),
        ({"interval": 10, "max_keep_ckpts": 3}, 55, [30, 40, 50, 55]),
        ({"interval": 10, "max_keep_ckpts": 3, "save_last": False}, 55, [30, 40, 50]),
        ({"interval": 2, "max_keep_ckpts": 1}, 7, [6, 7]),
        ({"interval": -1}, 7, [7]),
        ({"interval": -1, "max_keep_ckpts": 2}, 7, [7]),
        ({"interval": -1, "save_last": False}, 7, []),
    ],
)
def test_epochs_are_saved_and_kept_by_mmcvs_rule(
    tmp_path: Path, settings: dict[str, Any], total: int, kept: list[int]
) -> None:
    ours = store(tmp_path, total_epochs=total, **settings)
    for epoch in range(1, total + 1):
        if ours.is_due(epoch):
            ours.save_epoch(at(epoch))
    assert sorted(int(path.stem[6:]) for path in tmp_path.glob("epoch_*.pth")) == kept


def test_deletion_stops_at_the_first_gap(tmp_path: Path) -> None:
    ours = store(tmp_path, max_keep_ckpts=1)
    for old in ("epoch_1.pth", "epoch_3.pth"):
        (tmp_path / old).write_bytes(b"x")
    ours.save_epoch(at(4))
    assert names(tmp_path) == ["epoch_1.pth", "epoch_4.pth", "latest.pth"]


def test_one_iteration_file_at_most_and_none_after_the_next_epoch(tmp_path: Path) -> None:
    ours = store(tmp_path)
    ours.save_epoch(at(1))
    ours.save_iteration(at(1, batch=20))
    ours.save_iteration(at(1, batch=40))
    assert names(tmp_path) == ["epoch_1.pth", "iter_140.pth", "latest.pth"]
    assert str((tmp_path / "latest.pth").readlink()) == "iter_140.pth"
    ours.save_epoch(at(2))
    assert names(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "latest.pth"]


def test_an_iteration_file_of_a_run_that_was_further_is_left_alone(tmp_path: Path) -> None:
    store(tmp_path).save_iteration(at(5, batch=1))
    store(tmp_path).save_epoch(at(1))
    assert names(tmp_path) == ["epoch_1.pth", "iter_501.pth", "latest.pth"]


def test_the_best_is_strictly_better_and_nan_never(tmp_path: Path) -> None:
    ours = store(tmp_path)
    assert not ours.is_better(float("nan"))
    assert ours.is_better(0.0)
    ours.save_best(at(1), 0.0)
    assert not ours.is_better(0.0)
    assert ours.is_better(1e-9)
    less = store(tmp_path, rule="less")
    less.best_score = 0.5
    assert less.is_better(0.4)
    assert not less.is_better(0.5)


def test_the_best_is_taken_over_by_a_resumed_run(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.save_best(at(1), 0.3)
    first.save_epoch(at(2))
    second = store(tmp_path)
    second.continue_from(load_checkpoint(tmp_path / "latest.pth"))
    assert not second.is_better(0.3)
    second.save_best(at(3), 0.4)
    assert names(tmp_path) == ["best_AP_epoch_3.pth", "epoch_2.pth", "latest.pth"]


def test_a_best_file_in_another_folder_is_never_deleted(tmp_path: Path) -> None:
    first = store(tmp_path / "a")
    first.save_best(at(1), 0.3)
    first.save_epoch(at(2))
    second = store(tmp_path / "b")
    second.continue_from(load_checkpoint(tmp_path / "a" / "latest.pth"))
    second.save_best(at(3), 0.4)
    assert names(tmp_path / "a") == ["best_AP_epoch_1.pth", "epoch_2.pth", "latest.pth"]
    assert names(tmp_path / "b") == ["best_AP_epoch_3.pth"]


def test_without_symbolic_links_latest_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: str, target_is_directory: bool = False) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    ours = store(tmp_path)
    ours.save_epoch(at(1))
    ours.save_epoch(at(2))
    assert not (tmp_path / "latest.pth").is_symlink()
    assert load_checkpoint(tmp_path / "latest.pth").epoch == 2
    assert names(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "latest.pth"]


def test_files_stay_in_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    times = iter([1000.0, 900.0, 2000.0])
    ours = store(tmp_path, clock=lambda: next(times))
    saved = [load_checkpoint(ours.save_epoch(at(epoch))).saved_at for epoch in (1, 2, 3)]
    assert saved == sorted(saved)
    assert len(set(saved)) == 3


def test_leftovers_of_killed_writers_go_but_files_being_written_stay(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".epoch_1.pth.999999999.abcd.tmp", tmp_path / ".epoch_2.pth.1.abcd.tmp"
    for path in (dead, alive, tmp_path / ".something.tmp", tmp_path / "epoch_1.pth"):
        path.write_bytes(b"half")
    assert remove_leftovers(tmp_path) == [dead]
    store(tmp_path)
    assert names(tmp_path) == [".epoch_2.pth.1.abcd.tmp", ".something.tmp", "epoch_1.pth"]


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"total_epochs": 300, "interval": 10}, 33),
        ({"total_epochs": 300, "interval": 10, "max_keep_ckpts": 3}, 6),
        ({"total_epochs": 305, "interval": 10, "save_last": True}, 34),
        ({"total_epochs": 5, "interval": -1}, 4),
        ({"total_epochs": 5, "interval": -1, "save_last": False}, 3),
    ],
)
def test_number_of_files_a_run_may_hold(tmp_path: Path, settings: dict[str, Any], files: int) -> None:
    assert store(tmp_path, **settings).num_files_at_most() == files


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        ({"type": "Adam"}, 3),
        ({"type": "Adam", "amsgrad": True}, 4),
        ({"type": "SGD", "momentum": 0.9}, 2),
        ({"type": "SGD"}, 1),
    ],
)
def test_the_estimated_size_is_the_real_one(tmp_path: Path, optimizer: dict[str, Any], copies: int) -> None:
    model = torch.nn.Linear(512, 512)
    built = build_optimizer(model, lr=0.1, **optimizer)
    estimate = estimated_checkpoint_bytes(model, built)
    model(torch.ones(1, 512)).sum().backward()
    built.step()
    real = store(tmp_path).save_epoch(checkpoint_of(model, built)).stat().st_size
    assert estimate - (2 << 20) < real < estimate
    assert real == pytest.approx(copies * 512 * 513 * 4, rel=0.05)


def with_free(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    usage = shutil.disk_usage("/")._replace(free=num_bytes)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda folder: usage)


def test_a_run_that_will_not_fit_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store(tmp_path, total_epochs=300, interval=10, checkpoint_bytes=80_000_000)
    with_free(monkeypatch, 10**9)
    with pytest.raises(StorageError) as caught:
        ours.require_room()
    assert str(caught.value) == (
        f"the disk of {tmp_path} has 1.0 GB free, this run will write 2.7 GB (33 checkpoints of 80.0 MB): "
        f"free space, "
        "keep fewer (checkpoint_config.max_keep_ckpts=3), or choose another disk with --work-dir"
    )
    store(
        tmp_path, total_epochs=300, interval=10, max_keep_ckpts=3, checkpoint_bytes=80_000_000
    ).require_room()


def test_files_that_are_there_already_count_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store(tmp_path, total_epochs=1, checkpoint_bytes=30_000_000)
    with_free(monkeypatch, 100_000_000)
    with pytest.raises(StorageError):
        ours.require_room()
    (tmp_path / "epoch_1.pth").write_bytes(bytes(60_000_000))
    ours.require_room()


def test_a_file_that_will_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = store(tmp_path)
    ours.save_epoch(at(1))
    with_free(monkeypatch, 1000)
    with pytest.raises(
        StorageError, match=r"no room for .*epoch_2\.pth: it needs .* kB, the disk has 1\.0 kB free"
    ):
        ours.save_epoch(at(2))
    assert names(tmp_path) == ["epoch_1.pth", "latest.pth"]


def test_the_best_file_of_another_folder_is_named_and_never_deleted(tmp_path: Path) -> None:
    first = store(tmp_path / "first")
    first.save_best(at(1), 0.3)
    path = first.save_epoch(at(2))
    second = store(tmp_path / "second")
    second.continue_from(load_checkpoint(path))
    elsewhere = tmp_path / "first" / "best_AP_epoch_1.pth"
    assert (second.best_score, second.best_path, second.best_elsewhere) == (0.3, None, elsewhere)
    assert second.hook_msgs()["best_ckpt"] == str(elsewhere)
    second.save_best(at(3), 0.5)
    assert (second.best_path, second.best_elsewhere) == (tmp_path / "second" / "best_AP_epoch_3.pth", None)
    assert elsewhere.exists()


def test_a_failed_best_leaves_the_previous_best_in_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = store(tmp_path)
    ours.save_best(at(1), 0.3)
    with_free(monkeypatch, 1000)
    with pytest.raises(StorageError):
        ours.save_best(at(2), 0.5)
    assert (ours.best_score, ours.best_path) == (0.3, tmp_path / "best_AP_epoch_1.pth")
    assert ours.is_better(0.5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"interval": 0}, "checkpoint_config.interval is 0"),
        ({"max_keep_ckpts": 0}, "checkpoint_config.max_keep_ckpts is 0"),
        ({"rule": "more"}, "evaluation.rule is 'more'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(SdposeError, match=told):
        store(tmp_path, **settings)


@pytest.mark.parametrize(
    ("num_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (82_300_000, "82.3 MB"), (2_700_000_000, "2.7 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_shown_as_disks_count(num_bytes: float, shown: str) -> None:
    assert shown_bytes(int(num_bytes)) == shown
