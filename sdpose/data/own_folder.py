"""Folders that a command fills alone: is one of them ours, and away with what an earlier run left."""

from __future__ import annotations

import shutil
from collections.abc import Set as AbstractSet
from pathlib import Path

from sdpose.errors import SdposeError


def is_ours(folder: Path, *, stamp: str, entries: AbstractSet[str], what: str, command: str) -> bool:
    """Whether `folder` holds what `command` wrote: the file `stamp`, and nothing but `entries`.

    False where it does not exist or is empty. Raises SdposeError for a folder with anything else in it.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise SdposeError(f"{folder} is a file; expected a folder for the {what}, choose another --out")
    names = {entry.name for entry in folder.iterdir()}
    if not names:
        return False
    if stamp not in names or names - entries:
        foreign = sorted(names - entries) or sorted(names)
        raise SdposeError(
            f"{folder} holds files that `{command}` did not write ({', '.join(foreign[:3])}); nothing was touched, "
            "choose another --out or empty the folder yourself"
        )
    return True


def clear(folder: Path, entries: AbstractSet[str]) -> None:
    """Remove what an earlier run of ours left behind. Raises SdposeError where other files lie in it."""
    if folder.exists():
        if {entry.name for entry in folder.iterdir()} - entries:
            raise SdposeError(f"{folder} is in the way and holds files that are not ours; move it elsewhere")
        shutil.rmtree(folder)
