"""Results as they come, so that an interrupted prediction goes on where it was."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.training.atomic_file import write_atomically

JOURNAL = "predictions.jsonl"


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
            self._require_same(json.loads(first)["settings"], wanted)
            self.done = {str(entry["file"]): entry for entry in map(json.loads, _whole(rest))}
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
        self.done[str(entry["file"])] = dict(entry)
        self._file.write(_line(entry))
        self._file.flush()

    def close(self) -> None:
        """No more lines."""
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
        content = table.getvalue().encode("utf-8")
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
