"""`--resume-from auto` and named files: the newest good one, and words where one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training_samples import TinyNet, checkpoint_of, flip_bit, trained

from sdpose.errors import SdposeError
from sdpose.training.checkpoint import Checkpoint
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.resume import find_resume, resolve_resume

MODEL, OPTIMIZER = trained()
WEIGHT = MODEL.conv.weight.detach().numpy().tobytes()


def at(epoch: int, iteration: int) -> Checkpoint:
    return checkpoint_of(MODEL, OPTIMIZER, epoch=epoch, iteration=iteration)


def damage(path: Path) -> None:
    flip_bit(path, path.read_bytes().find(WEIGHT))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """epoch_1, epoch_2, best of epoch 1, stopped at iteration 250."""
    store = CheckpointStore(tmp_path, total_epochs=5)
    store.save_epoch(at(1, 100))
    store.save_best(at(1, 100), 0.4)
    store.save_epoch(at(2, 200))
    store.save_iteration(at(2, 250))
    return tmp_path


def found(folder: Path) -> tuple[str, tuple[str, ...]]:
    point = find_resume(folder)
    assert point.checkpoint is not None
    assert point.checkpoint.path is not None
    return point.checkpoint.path.name, point.warnings


def test_nothing_there_means_start_anew(tmp_path: Path) -> None:
    assert find_resume(tmp_path).checkpoint is None
    assert find_resume(tmp_path / "nowhere").checkpoint is None


def test_the_newest_is_found_under_its_own_name(run: Path) -> None:
    assert found(run) == ("iter_250.pth", ())


def test_a_damaged_newest_falls_back_loudly(run: Path) -> None:
    damage(run / "iter_250.pth")
    name, warnings = found(run)
    assert name == "epoch_2.pth"
    assert "iter_250.pth is damaged" in warnings[0]
    assert warnings[-1] == "GOING ON FROM epoch_2.pth INSTEAD (epoch 2, iteration 200)"
    (run / "epoch_2.pth").write_bytes((run / "epoch_2.pth").read_bytes()[:500])
    assert found(run)[0] == "best_AP_epoch_1.pth"


def test_when_none_is_whole_nothing_is_overwritten_but_said(run: Path) -> None:
    for path in run.glob("*.pth"):
        if not path.is_symlink():
            damage(path)
    with pytest.raises(SdposeError, match=r"no checkpoint in .* can be resumed"):
        find_resume(run)


def test_the_last_written_wins_over_leftovers_that_went_further(tmp_path: Path) -> None:
    times = iter([1000.0, 2000.0])
    CheckpointStore(tmp_path, total_epochs=300, clock=lambda: next(times)).save_epoch(at(300, 30000))
    CheckpointStore(tmp_path, total_epochs=300, clock=lambda: next(times)).save_epoch(at(2, 200))
    assert found(tmp_path)[0] == "epoch_2.pth"


def test_a_run_moved_to_a_machine_with_a_slow_clock_goes_on_from_its_last_file(tmp_path: Path) -> None:
    first = CheckpointStore(tmp_path, total_epochs=9, clock=lambda: 5000.0)
    first.save_epoch(at(1, 100))
    point = find_resume(tmp_path)
    assert point.checkpoint is not None
    second = CheckpointStore(tmp_path, total_epochs=9, clock=lambda: 10.0)
    second.continue_from(point.checkpoint)
    second.save_epoch(at(2, 200))
    assert found(tmp_path)[0] == "epoch_2.pth"


def test_other_pth_files_do_not_matter(run: Path) -> None:
    (run / "pretrained.pth").write_text("not ours")
    torch.save(dict(TinyNet().state_dict()), run / "epoch_99.pth")
    assert found(run)[0] == "iter_250.pth"


def test_a_copied_latest_alone_is_enough(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "copied"
    folder.mkdir()
    (folder / "latest.pth").write_bytes((run / "epoch_2.pth").read_bytes())
    assert found(folder)[0] == "latest.pth"


def test_an_official_run_is_found_by_the_time_in_its_files(tmp_path: Path) -> None:
    for epoch, told in ((9, "Sun Nov 22 17:23:32 2026"), (10, "Sun Nov 22 17:23:33 2026")):
        ours = at(epoch, epoch * 100)
        ours.meta["time"] = told
        torch.save(
            {"meta": ours.meta, "state_dict": ours.state_dict, "optimizer": ours.optimizer},
            tmp_path / f"epoch_{epoch}.pth",
        )
    assert found(tmp_path)[0] == "epoch_10.pth"


def test_a_named_file_is_taken_as_named(run: Path) -> None:
    point = resolve_resume(run / "epoch_1.pth", run)
    assert point.checkpoint is not None
    assert (point.checkpoint.epoch, point.warnings) == (1, ())
    automatic = resolve_resume("auto", run).checkpoint
    assert automatic is not None
    assert automatic.iteration == 250


def test_a_named_damaged_file_is_refused_and_a_good_neighbour_named(run: Path) -> None:
    damage(run / "iter_250.pth")
    with pytest.raises(SdposeError) as caught:
        resolve_resume(str(run / "latest.pth"), run)
    assert "latest.pth is damaged" in str(caught.value)
    assert str(caught.value).endswith(
        f"{run / 'epoch_2.pth'} is fine (epoch 2, iteration 200): --resume-from {run / 'epoch_2.pth'}"
    )


def test_a_named_damaged_file_without_a_good_neighbour_is_refused(tmp_path: Path) -> None:
    for name in ("epoch_1.pth", "epoch_2.pth"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(SdposeError, match=rf"{name} is damaged \(it is empty\)"):
            resolve_resume(tmp_path / name, tmp_path)


def test_a_missing_named_file_and_bare_weights_are_refused(run: Path) -> None:
    with pytest.raises(SdposeError, match="there is no checkpoint"):
        resolve_resume(run / "epoch_7.pth", run)
    torch.save(dict(TinyNet().state_dict()), run / "w.pth")
    with pytest.raises(SdposeError, match="--load-from"):
        resolve_resume(run / "w.pth", run)
