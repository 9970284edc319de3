"""Full disks, read-only folders and kills: what was on the disk before is still good after."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch
import warm_python
from training_samples import checkpoint_of, names, trained

from sdpose.errors import SdposeError
from sdpose.training import atomic_file
from sdpose.training.atomic_file import StorageError, write_atomically
from sdpose.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.machine_signs import machine_signs
from sdpose.training.resume import find_resume

MODEL, OPTIMIZER = trained()


def at(epoch: int) -> Checkpoint:
    return checkpoint_of(MODEL, OPTIMIZER, epoch=epoch, iteration=epoch * 100)


class RefusingFile:
    """A file whose disk gives `number` after some bytes, as a full one does."""

    def __init__(self, file: IO[bytes], number: int, after: int) -> None:
        self._file, self._number, self._left = file, number, after

    def write(self, data: Any) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise OSError(self._number, os.strerror(self._number))
        return self._file.write(data)

    def __enter__(self) -> RefusingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("after", [0, 100, 3000])
@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free space on the disk of"),
        (errno.EDQUOT, "free space on the disk of"),
        (errno.EROFS, "writable, or choose another folder with --work-dir"),
        (errno.EIO, "look at the disk of"),
    ],
)
def test_a_refusing_disk_gives_one_clear_error_and_leaves_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cure: str, after: int
) -> None:
    store = CheckpointStore(tmp_path, total_epochs=5, max_keep_ckpts=1)
    store.save_epoch(at(1))
    before = (tmp_path / "epoch_1.pth").read_bytes()

    def opened(path: Path, mode: str) -> RefusingFile:
        return RefusingFile(path.open(mode), number, after)

    monkeypatch.setattr(atomic_file, "open", opened, raising=False)
    with pytest.raises(StorageError) as caught:
        store.save_epoch(at(2))
    message = str(caught.value)
    assert f"could not write {tmp_path / 'epoch_2.pth'} ({os.strerror(number)})" in message
    assert "files already there are untouched" in message
    assert cure in message
    assert names(tmp_path) == ["epoch_1.pth", "latest.pth"]
    assert (tmp_path / "epoch_1.pth").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_really_fills_up(small_disk: Path) -> None:
    def big(epoch: int) -> Checkpoint:
        return checkpoint_of(MODEL, OPTIMIZER, epoch=epoch, iteration=epoch, ballast=torch.zeros(100_000))

    store = CheckpointStore(small_disk, total_epochs=5)
    store.save_epoch(big(1))
    store.checkpoint_bytes = 0  # so that the look at the free space does not step in
    store.save_epoch(big(2))
    store.checkpoint_bytes = 0
    with pytest.raises(StorageError, match=r"epoch_3\.pth \(No space left on device\)"):
        store.save_epoch(big(3))
    assert names(small_disk) == ["epoch_1.pth", "epoch_2.pth", "latest.pth"]
    point = find_resume(small_disk)
    assert point.checkpoint is not None
    assert (point.checkpoint.epoch, point.warnings) == (2, ())


def test_a_disk_mounted_read_only(small_disk: Path) -> None:
    store = CheckpointStore(small_disk, total_epochs=5)
    store.save_epoch(at(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system"):
        store.save_epoch(at(2))
    with pytest.raises(StorageError, match=r"Read-only file system.*--work-dir"):
        CheckpointStore(small_disk, total_epochs=5)
    assert load_checkpoint(small_disk / "latest.pth").epoch == 1


def test_a_work_dir_under_a_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for work_dir in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(
            SdposeError, match="is a file, not a folder; choose another folder with --work-dir"
        ):
            CheckpointStore(work_dir, total_epochs=5)


def test_an_error_of_the_writer_itself_is_not_taken_for_the_disks(tmp_path: Path) -> None:
    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyError("a bug")

    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(KeyError):
        write_atomically(tmp_path / "x", fail)
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_ctrl_c_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "x.pth", at(1))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "x.pth", at(2))
    assert names(tmp_path) == ["x.pth"]
    assert load_checkpoint(tmp_path / "x.pth").epoch == 1


KILL_WHILE_SAVING = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
from training_samples import checkpoint_of, trained
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.checkpoint_store import CheckpointStore
from sdpose.training.resume import find_resume

torch.set_num_threads(1)
folder, (model, optimizer), done = Path(sys.argv[1]), trained(), 0

def save_forever(pipe):
    store = CheckpointStore(folder, total_epochs=10**9, max_keep_ckpts=1)
    for epoch in range(done + 1, 10**9):
        ballast = torch.full((300_000,), float(epoch))
        store.save_epoch(checkpoint_of(model, optimizer, epoch=epoch, iteration=epoch, ballast=ballast))
        os.write(pipe, b"%d " % epoch)

for kill in range(30):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        save_forever(writer)
    os.close(writer)
    told = os.read(reader, 100)
    time.sleep(kill * 0.7e-3)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 1000):
        told += more
    os.close(reader)
    told_epoch = int(told.split()[-1])
    point = find_resume(folder)
    assert point.warnings == (), point.warnings
    done = point.checkpoint.epoch
    assert done in (told_epoch, told_epoch + 1), (done, told_epoch)
    assert torch.equal(point.checkpoint.resume["ballast"], torch.full((300_000,), float(done)))
    assert load_checkpoint(folder / "latest.pth").epoch in (done - 1, done)
CheckpointStore(folder, total_epochs=1)
print(len(list(folder.glob(".*.tmp"))), "leftovers after", kill + 1, "kills")
"""


def test_a_kill_in_the_middle_of_a_save_never_costs_the_newest_checkpoint(tmp_path: Path) -> None:
    """SIGKILL at thirty moments of a process that does nothing but save and delete all but the newest."""
    words = [sys.executable, "-c", KILL_WHILE_SAVING, tmp_path, Path(__file__).parent]
    done = warm_python.run(words, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)
    assert done.stderr == ""
    assert done.stdout == "0 leftovers after 30 kills\n"


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_at_the_two_critical_moments(tmp_path: Path, moment: str) -> None:
    """Killed when the file is written but not renamed, and just before the rename."""
    store = CheckpointStore(tmp_path, total_epochs=5)
    store.save_epoch(at(1))
    where = "os.fsync" if moment == "fsync" else "pathlib.Path.replace"
    program = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from training_samples import checkpoint_of, trained
from sdpose.training.checkpoint_store import CheckpointStore
store = CheckpointStore(pathlib.Path({str(tmp_path)!r}), total_epochs=5)
{where} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.save_epoch(checkpoint_of(*trained(), epoch=2, iteration=200))
"""
    done = warm_python.run([sys.executable, "-c", program], cwd=tmp_path, env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert any(name.startswith(".epoch_2.pth.") for name in names(tmp_path))
    point = find_resume(tmp_path)
    assert point.checkpoint is not None
    assert (point.checkpoint.epoch, point.warnings) == (1, ())
    CheckpointStore(tmp_path, total_epochs=5)
    assert names(tmp_path) == ["epoch_1.pth", "latest.pth"]


def test_a_rank_without_the_folder_still_knows_the_disk(tmp_path: Path) -> None:
    assert machine_signs(tmp_path / "not" / "made")["disk_free_mib"] > 0
