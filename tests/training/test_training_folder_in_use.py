"""A folder belongs to one training at a time, and is free again however that one ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sdpose.errors import SdposeError
from sdpose.training.folder_in_use import LOCK, in_use

HOLDER = """
import multiprocessing, sys, time
from pathlib import Path
from sdpose.training.folder_in_use import in_use
with in_use(Path(sys.argv[1])):
    # A data worker that outlives its training must not hold the folder.
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(1.5,)).start()
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_training_is_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(SdposeError, match=rf"in {folder} \(process {holder.pid}\).*--work-dir"),
            in_use(folder),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with in_use(folder):
            assert int((folder / LOCK).read_text()) != holder.pid
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SdposeError, match=r"a part of .* is a file"), in_use(tmp_path / "file" / "run"):
        pass
