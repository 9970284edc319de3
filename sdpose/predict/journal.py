"""Results as they come, so that an interrupted prediction goes on where it was."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.training.atomic_file import storage_error, write_atomically

JOURNAL = "predictions.jsonl"
DRAWN = "drawn"
"""The folder beside the journal that pictures and films with skeletons go to."""


class Journal:
    """`predictions.jsonl`: a line about how they were made, then one line an image or frame.

    Opened again with the same settings it knows what is done; with others it is refused, unless told to start anew.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, again: bool = False) -> None:
        self.path = folder / JOURNAL
        self.done: dict[str, dict[str, Any]] = {}
        wanted = json.loads(json.dumps(settings))
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not again:
            self._take_up(wanted)
        else:
            write_atomically(self.path, lambda file: file.write(_line({"settings": wanted})))
        self._file = self.path.open("ab")

    def _take_up(self, wanted: dict[str, Any]) -> None:
        first, *rest = self.path.read_bytes().splitlines(keepends=True) or [b""]
        try:
            settings = json.loads(first)["settings"]
            # Where nothing is done yet, settings may still be mended.
            if rest:
                self._require_same(settings, wanted)
            else:
                first = _line({"settings": wanted})
            for entry in map(json.loads, _whole(rest)):
                self._know(entry)
        except (ValueError, TypeError, KeyError) as error:
            raise SdposeError(
                f"{self.path} is not what `sdpose predict` writes, or is damaged ({type(error).__name__} {error}); "
                "choose another --out, or --again to make everything anew"
            ) from error
        whole = b"".join([first, *_whole(rest)])
        write_atomically(self.path, lambda file: file.write(whole))

    def _require_same(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        differing = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        if differing:
            name = differing[0]
            raise SdposeError(
                f"{self.path.parent} holds predictions made with {name}={found.get(name)!r}, now it is "
                f"{wanted.get(name)!r}; choose another --out, or --again to make them anew"
            )

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write one image's line; it is on its way to the disk when this returns."""
        self._know(entry)
        try:
            self._file.write(_line(entry))
            self._file.flush()
        except OSError as error:
            raise storage_error(self.path, error) from error

    def begin(self, film: str) -> None:
        """Forget the frames of a film that a stopped run has left: it begins anew."""
        if any(name.startswith(f"{film}#") for name in self.done):
            self.add({"file": film, "begins": True})

    def has(self, name: str, state: Sequence[int] | None) -> bool:
        """Whether it is done, and the file still is the one that it was."""
        entry = self.done.get(name)
        return entry is not None and entry.get("state") == (None if state is None else list(state))

    def _know(self, entry: Mapping[str, Any]) -> None:
        name = str(entry["file"])
        if "begins" in entry:
            self.done = {each: known for each, known in self.done.items() if not each.startswith(f"{name}#")}
        else:
            self.done[name] = dict(entry)

    def close(self) -> None:
        """No more lines."""
        # A full disk has been named by then, and what was not written is done again.
        with contextlib.suppress(OSError):
            self._file.close()

    def results(self) -> list[dict[str, Any]]:
        """COCO keypoint results of everything done, by file name."""
        return [person for _, entry in sorted(self.done.items()) for person in entry["persons"]]

    def write_results(self, path: Path) -> None:
        """All as one COCO result file."""
        content = json.dumps(self.results()).encode()
        write_atomically(path, lambda file: file.write(content))

    def write_csv(self, path: Path, keypoints: Sequence[str]) -> None:
        """All as a table: a row a person, x, y and score of each joint."""
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        joints = [f"{name}_{what}" for name in keypoints for what in ("x", "y", "score")]
        writer.writerow(
            ["file", "image_id", "person", "track_id", "score", "left", "top", "width", "height", *joints]
        )
        writer.writerows(self._rows())
        # Names on a disk need not be UTF-8.
        content = table.getvalue().encode("utf-8", "surrogateescape")
        write_atomically(path, lambda file: file.write(content))

    def _rows(self) -> Iterator[list[Any]]:
        for name, entry in sorted(self.done.items()):
            for number, person in enumerate(entry["persons"], start=1):
                yield [
                    name,
                    person["image_id"],
                    number,
                    person.get("track_id", ""),
                    person["score"],
                    *person["bbox"],
                    *person["keypoints"],
                ]


def file_identity(path: Path) -> str:
    """Name and content of a file, for the settings that predictions are made with: `latest.pth` changes."""
    try:
        return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    except OSError as error:
        raise SdposeError(f"{path}: cannot be read: {error.strerror}") from error


def _whole(lines: Sequence[bytes]) -> list[bytes]:
    """Without the half line of an interrupted run: that image is done again."""
    return [line for line in lines if line.endswith(b"\n")]


def _line(entry: Mapping[str, Any]) -> bytes:
    return (json.dumps(entry) + "\n").encode()
