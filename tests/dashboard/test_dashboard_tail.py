"""A file is read on from where it was, and from its start where it is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdpose.dashboard.tail import FileTail


@pytest.mark.parametrize("new", [b"new 1\n", b"new 1\nnew 2\nnew 3\nnew 4\n"], ids=["shorter", "longer"])
def test_a_file_that_was_replaced_is_read_from_its_start(tmp_path: Path, new: bytes) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(b"old 1\nold 2\n")
    tail = FileTail(path)
    assert tail.look()
    assert tail.read(100) == b"old 1\nold 2\n"
    other = tmp_path / "other"
    other.write_bytes(new)
    other.replace(path)
    assert tail.look()
    assert tail.restarted
    assert tail.read(100) == new


def test_a_file_that_grows_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(b"1\n2")
    tail = FileTail(path)
    tail.look()
    assert (tail.read(100), tail.read(100), tail.pending) == (b"1\n", b"", 1)
    with path.open("ab") as file:
        file.write(b"2\n3\n")
    assert tail.look()
    assert (tail.read(100), tail.restarted) == (b"22\n3\n", False)


def test_a_file_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    tail = FileTail(path)
    assert tail.look()
    assert not tail.look()
    assert (tail.missing, tail.read(100)) == (True, b"")
    path.write_bytes(b"1\n")
    assert tail.look()
    assert tail.read(100) == b"1\n"
