"""Which checkpoints lie in a work_dir: written when due, kept as asked, never fewer than one good one.

`epoch_N.pth` after finished epochs, `best_AP_epoch_N.pth` once, `iter_N.pth` once when a run is stopped or
saved between epochs, and `latest.pth`, a relative link to the newest. An old file goes only when a newer
one is safe.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.training.atomic_file import point_to, remove_leftovers, storage_error, write_atomically
from sdpose.training.checkpoint import Checkpoint, load_header, save_checkpoint
from sdpose.training.disk_space import require_room_for_file, require_room_for_run

RULES = ("greater", "less")


class CheckpointStore:
    """The checkpoints of one run. Only the main process has one.

    `interval`: epochs between two `epoch_N.pth`, -1 for none. `max_keep_ckpts`: how many of them stay, -1
    for all. `save_last`: also after the last epoch. `checkpoint_bytes`: estimated size of one file, for the
    space checks. `rule`: whether a "greater" or a "less" score is better. Raises SdposeError when
    `work_dir` cannot be written.
    """

    def __init__(
        self,
        work_dir: Path,
        *,
        total_epochs: int,
        interval: int = 1,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        rule: str = "greater",
        checkpoint_bytes: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if interval == 0 or interval < -1:
            raise SdposeError(
                f"checkpoint_config.interval is {interval}; give a number of epochs, or -1 for none"
            )
        if max_keep_ckpts == 0 or max_keep_ckpts < -1:
            raise SdposeError(
                f"checkpoint_config.max_keep_ckpts is {max_keep_ckpts}; give at least 1, or -1 for all"
            )
        if rule not in RULES:
            raise SdposeError(f"evaluation.rule is '{rule}', known are {' and '.join(RULES)}")
        self.work_dir = work_dir
        self.total_epochs = total_epochs
        self.interval = interval
        self.max_keep_ckpts = max_keep_ckpts
        self.save_last = save_last
        self.rule = rule
        self.checkpoint_bytes = checkpoint_bytes
        self.best_score: float | None = None
        self.best_path: Path | None = None
        """Of this folder."""
        self.best_elsewhere: Path | None = None
        """Where the best file lies when the run went on from another folder and was not better since."""
        self.last_path: Path | None = None
        self.kept_iteration: int | None = None
        """`iter_N.pth` of this iteration stays until something else is set."""
        self._clock = clock
        self._last_saved_at = 0.0
        self._prepare_folder()

    def continue_from(self, checkpoint: Checkpoint) -> None:
        """Take over the best score and the order of files from the checkpoint a run goes on from."""
        told = checkpoint.hook_msgs
        score, best, last = told.get("best_score"), told.get("best_ckpt"), told.get("last_ckpt")
        self.best_score = float(score) if isinstance(score, int | float) else None
        self._find_best(checkpoint, best if isinstance(best, str) else "")
        self.last_path = Path(last) if isinstance(last, str) and last else None
        self._last_saved_at = checkpoint.saved_at

    def _find_best(self, checkpoint: Checkpoint, told: str) -> None:
        """The best file's name counts, not its path: one of another work_dir must not be deleted, and may be gone."""
        name = Path(told).name
        beside = checkpoint.path.parent / name if checkpoint.path is not None else None
        found = [
            path for path in (self.work_dir / name, beside, Path(told)) if name and path and path.is_file()
        ]
        is_ours = bool(found) and found[0].resolve().parent == self.work_dir.resolve()
        self.best_path = self.work_dir / name if is_ours else None
        self.best_elsewhere = found[0] if found and not is_ours else None

    def set_aside(self) -> Path | None:
        """Move what an earlier run left here into a folder of its own, so that a new run overwrites nothing.

        Gives that folder, `previous_<time of its newest file>`, or None when there was nothing. Call it before
        a run that does not go on from these files.
        """
        files = self.files()
        if not files:
            return None
        newest = max(path.stat().st_mtime for path in files)
        folder = self.work_dir / time.strftime("previous_%Y%m%d_%H%M%S", time.localtime(newest))
        try:
            folder.mkdir(exist_ok=True)
            for path in files:
                path.replace(folder / path.name)
            (self.work_dir / "latest.pth").unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        return folder

    def set_aside_after(self, iteration: int) -> Path | None:
        """Move checkpoints of iterations after `iteration` away: the run went back and takes another way from there.

        The best one stays, its score was real. Gives the folder they are in now, `left_<iteration>`, or None.
        """
        later = [path for path in self.files() if path != self.best_path and _iteration_of(path) > iteration]
        if not later:
            return None
        folder = self.work_dir / f"left_{iteration}"
        try:
            folder.mkdir(exist_ok=True)
            for path in later:
                path.replace(folder / path.name)
        except OSError as error:
            raise storage_error(folder, error) from error
        return folder

    def is_due(self, epoch: int) -> bool:
        """Should there be an `epoch_N.pth` after `epoch` finished epochs?"""
        if self.interval > 0 and epoch % self.interval == 0:
            return True
        return self.save_last and epoch == self.total_epochs

    def is_better(self, score: float) -> bool:
        """Strictly better than the best so far. NaN never is."""
        if math.isnan(score):
            return False
        if self.best_score is None:
            return True
        return score > self.best_score if self.rule == "greater" else score < self.best_score

    def save_epoch(self, checkpoint: Checkpoint) -> Path:
        """Write `epoch_N.pth`, then let `latest.pth` point to it and remove what it makes superfluous."""
        path = self._save(checkpoint, f"epoch_{checkpoint.epoch}.pth")
        point_to(self.work_dir / "latest.pth", path.name)
        self._remove_old_epochs(checkpoint.epoch)
        self._remove_old_iterations(checkpoint.iteration, keep=None)
        return path

    def save_iteration(self, checkpoint: Checkpoint) -> Path:
        """Write `iter_N.pth` in the middle of an epoch; an earlier one of this run goes."""
        path = self._save(checkpoint, f"iter_{checkpoint.iteration}.pth")
        point_to(self.work_dir / "latest.pth", path.name)
        self._remove_old_iterations(checkpoint.iteration, keep=path)
        return path

    def save_best(self, checkpoint: Checkpoint, score: float, *, metric: str = "AP") -> Path:
        """Write `best_<metric>_epoch_N.pth` and remember its score; the previous best file of this run
        goes."""
        previous_score, previous, elsewhere = self.best_score, self.best_path, self.best_elsewhere
        path = self.work_dir / f"best_{metric}_epoch_{checkpoint.epoch}.pth"
        self.best_score, self.best_path, self.best_elsewhere = float(score), path, None
        try:
            self._save(checkpoint, path.name, is_best=True)
        except BaseException:
            self.best_score, self.best_path, self.best_elsewhere = previous_score, previous, elsewhere
            raise
        if previous is not None and previous != path:
            _remove(previous)
        return path

    def hook_msgs(self) -> dict[str, Any]:
        """mmcv's bookkeeping for `meta`; the save functions put it there."""
        told: dict[str, Any] = {}
        if self.last_path is not None:
            told["last_ckpt"] = str(self.last_path)
        if self.best_score is not None:
            told["best_score"] = self.best_score
            if (best := self.best_path or self.best_elsewhere) is not None:
                told["best_ckpt"] = str(best)
        return told

    def num_files_at_most(self) -> int:
        """Checkpoint files that can lie here at once, the one being written and best and iter included."""
        epochs = self.total_epochs // self.interval if self.interval > 0 else 0
        if self.save_last and (self.interval < 0 or self.total_epochs % self.interval):
            epochs += 1
        kept = min(epochs, self.max_keep_ckpts) if self.max_keep_ckpts > 0 else epochs
        return kept + 3

    def require_room(self) -> None:
        """Raise StorageError when the whole run does not fit on the disk. Call once, before training."""
        require_room_for_run(
            self.work_dir,
            checkpoint_bytes=self.checkpoint_bytes,
            num_checkpoints=self.num_files_at_most(),
            existing_bytes=sum(path.stat().st_size for path in self.files()),
            max_keep_ckpts=self.max_keep_ckpts,
        )

    def files(self) -> list[Path]:
        """The checkpoints of this folder, in no order."""
        own = re.compile(r"(epoch|iter|best_.+_epoch)_\d+\.pth")
        return [path for path in self.work_dir.glob("*.pth") if own.fullmatch(path.name) and path.is_file()]

    def _prepare_folder(self) -> None:
        try:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.work_dir)
        except OSError as error:
            raise storage_error(self.work_dir / "latest.pth", error) from error
        probe = self.work_dir / ".sdpose_can_write"
        write_atomically(probe, lambda file: None)
        probe.unlink()

    def _save(self, checkpoint: Checkpoint, name: str, *, is_best: bool = False) -> Path:
        path = self.work_dir / name
        require_room_for_file(path, self.checkpoint_bytes)
        checkpoint.meta["hook_msgs"] = {**checkpoint.hook_msgs, **self.hook_msgs()}
        # A clock that was set back must not make an older file look newer.
        checkpoint.saved_at = max(self._clock(), self._last_saved_at + 1e-3)
        save_checkpoint(path, checkpoint)
        self._last_saved_at = checkpoint.saved_at
        self.checkpoint_bytes = path.stat().st_size
        if not is_best:
            self.last_path = path
        return path

    def _remove_old_epochs(self, epoch: int) -> None:
        """mmcv's rule: from the first superfluous one downwards, until one is missing."""
        if self.max_keep_ckpts < 0 or self.interval < 0:
            return
        for old in range(epoch - self.max_keep_ckpts * self.interval, 0, -self.interval):
            if not _remove(self.work_dir / f"epoch_{old}.pth"):
                return

    def _remove_old_iterations(self, iteration: int, *, keep: Path | None) -> None:
        """Those at or before `iteration`; a later one is of another run in this folder and may be all it
        has."""
        for path in self.work_dir.glob("iter_*.pth"):
            number = path.stem.removeprefix("iter_")
            if path == keep or not number.isdigit() or int(number) == self.kept_iteration:
                continue
            if int(number) <= iteration:
                _remove(path)


def _iteration_of(path: Path) -> int:
    """Finished iterations of a checkpoint; -1 for one that cannot be read, which is left where it is."""
    try:
        return load_header(path).iteration
    except SdposeError:
        return -1


def _remove(path: Path) -> bool:
    """Delete a file; False when there was none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage_error(path, error) from error
    return True
