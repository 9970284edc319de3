"""Making a pack: in parallel, part by part, so that what was interrupted goes on where it stopped.

A pack is made in a hidden folder beside its place and renamed when it is whole. A part counts as done when its `.json`
is there, which is written after its pixels.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdpose.data.folder_lock import locked
from sdpose.data.images import decode
from sdpose.data.own_folder import clear, is_ours
from sdpose.data.pack import (
    FORMAT,
    INDEX,
    PARTS,
    STAMP,
    Contents,
    images_digest,
    length_of,
    num_paged,
    open_pack,
    part_name,
    partial_folder,
    read_stamp,
)
from sdpose.errors import SdposeError

_PLAN = "plan.json"
_UNFINISHED = ".unfinished"  # what a full disk or a kill leaves of a file
_ENTRIES = {PARTS, STAMP, INDEX, _PLAN, STAMP + _UNFINISHED, _PLAN + _UNFINISHED}
# A process keeps every part open; and an interrupted one loses at most a part a worker.
_MOST_PARTS, _LEAST_IMAGES = 200, 8


@dataclass(frozen=True)
class PackSummary:
    """What lies in `folder`; `cached` when it lay there before, and `mended` says what of it was not right."""

    folder: Path
    num_images: int
    num_bytes: int
    problems: tuple[str, ...]
    cached: bool
    mended: str = ""


def make_pack(
    folder: Path,
    contents: Contents,
    *,
    num_workers: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    on_wait: Callable[[], None] = lambda: None,
) -> PackSummary:
    """Make the pack, go on with one that was interrupted, or find it whole and mend what is not.

    `progress(what, done, total)` counts images. A second process asking for the same folder waits for the first, after
    `on_wait()`. Raises SdposeError for a folder with anything else in it, for another pack, and when the disk is too
    small or refuses.
    """
    if num_workers < 0:
        raise SdposeError(
            f"the number of workers is {num_workers}; it must be 0 (no extra process) or greater"
        )
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder, on_wait):
            return _make(folder, contents, num_workers, progress)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise SdposeError(
            f"the pack could not be written to {folder}: {error.strerror or error}; "
            + ("free some space (the same command goes on from there), or choose" if full else "choose")
            + " another folder with --out"
        ) from error


def _make(
    folder: Path, contents: Contents, num_workers: int, progress: Callable[[str, int, int], None]
) -> PackSummary:
    plan = _plan(contents)
    mended = ""
    if _is_there(folder, plan):
        damaged = _damaged_parts(folder, contents, progress)
        if not damaged and _fits_index(folder, contents):
            return _summary(folder, cached=True)
        num_images = sum(damaged.values())
        mended = f"images damaged, or changed since: {num_images}" if damaged else "its index was damaged"
        _reopen(folder, damaged)
    building = partial_folder(folder)
    _begin(building, plan)
    jobs = [job for job in _jobs(building, contents, plan) if not job.is_done()]
    _require_room(building, sum(job.num_bytes for job in jobs))
    total = len(contents.rows)
    done = total - sum(len(job.rows) for job in jobs)
    progress("decoding", done, total)
    for job in _carried_out(jobs, num_workers):
        done += len(job.rows)
        progress("decoding", done, total)
    _finish(building, contents, plan)
    if folder.exists():
        folder.rmdir()  # empty: `_is_there` has looked
    building.rename(folder)
    return _summary(folder, cached=False, mended=mended)


def _plan(contents: Contents) -> dict[str, Any]:
    """What two makings of the same pack have in common."""
    num_images = max(_LEAST_IMAGES, -(-len(contents.rows) // _MOST_PARTS))
    return {
        "format": FORMAT,
        "images": images_digest(contents.paths, contents.sizes_wh),
        "rectangles": hashlib.sha256(contents.rectangles.astype("<i4").tobytes()).hexdigest(),
        "images_a_part": num_images,
        "num_listed": len(contents.paths),
        "num_images": len(contents.rows),
        "num_bytes": contents.num_bytes,
        "made_for": dict(contents.made_for),
    }


def _is_there(folder: Path, plan: Mapping[str, Any]) -> bool:
    """Whether this very pack was made before. Refuses a folder with anything else in it."""
    if not is_ours(folder, stamp=STAMP, entries=_ENTRIES, what="pack", command="sdpose data pack"):
        return False
    stamp = read_stamp(folder)
    if any(stamp.get(key) != plan[key] for key in ("images", "rectangles", "images_a_part")):
        changed = [
            f"{name} is {value:g}, packed for {stamp['made_for'].get(name, math.nan):g}"
            for name, value in plan["made_for"].items()
            if value != stamp["made_for"].get(name)
        ]
        what = f"crops ({', '.join(changed)})" if changed else "persons"
        raise SdposeError(
            f"{folder} holds a pack of other {what}, of {stamp['num_images']} images and "
            f"{stamp['num_bytes'] / 1e9:.2f} GB; nothing was touched, delete it or choose another --out (a training "
            "says by itself whether a pack fits)"
        )
    return True


def _fits_index(folder: Path, contents: Contents) -> bool:
    """Whether index and stamp of a finished pack are what was written."""
    try:
        open_pack(folder, contents.paths, contents.sizes_wh)
    except SdposeError:
        return False
    return True


def _damaged_parts(
    folder: Path, contents: Contents, progress: Callable[[str, int, int], None]
) -> dict[int, int]:
    """Parts of a finished pack that are not what was written, and how many of their images."""
    damaged: dict[int, int] = {}
    done = 0
    for job in _jobs(folder, contents, _plan(contents)):
        bad = job.num_damaged()
        if bad:
            damaged[job.number] = bad
        done += len(job.rows)
        progress("checking", done, len(contents.rows))
    return damaged


def _reopen(folder: Path, damaged: Iterable[int]) -> None:
    """Make an unfinished pack of a finished one, without its damaged parts."""
    building = partial_folder(folder)
    if building.exists():
        shutil.rmtree(building)
    (folder / STAMP).unlink()
    folder.rename(building)
    for number in damaged:
        (building / PARTS / part_name(number)).with_suffix(".json").unlink(missing_ok=True)


def _begin(building: Path, plan: Mapping[str, Any]) -> None:
    """The folder to work in: that of an interrupted making of the same pack, or a new one."""
    if building.exists():
        try:
            if json.loads((building / _PLAN).read_bytes()) == plan:
                return
        except (OSError, ValueError):
            pass
        clear(building, _ENTRIES)
    (building / PARTS).mkdir(parents=True)
    _write(building / _PLAN, json.dumps(plan).encode())


def _require_room(building: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(building).free
    if num_bytes > free:
        raise SdposeError(
            f"the pack needs {num_bytes / 1e9:.2f} GB more, the disk of {building.parent} has {free / 1e9:.2f} GB "
            "free; free some space or choose a folder on another disk with --out"
        )


@dataclass(frozen=True)
class _Job:
    """One part: its images in order, and where their files lie."""

    number: int
    path: Path
    rows: list[int]
    image_paths: list[str]
    sizes_wh: list[list[int]]
    rectangles: list[list[int]]
    image_bytes: list[int]

    @property
    def num_bytes(self) -> int:
        return int(sum(map(num_paged, self.image_bytes)))

    @property
    def starts(self) -> list[int]:
        """Where each image begins."""
        ends = np.cumsum([num_paged(count) for count in self.image_bytes])
        return [0, *ends[:-1].tolist()]

    @property
    def record(self) -> dict[str, Any]:
        """What `write_part` noted. Raises OSError or ValueError when it is not there."""
        return dict(json.loads(self.path.with_suffix(".json").read_bytes()))

    def is_done(self) -> bool:
        """Whether it was written, of the photographs as they are now."""
        return self._is_written() and not self._changed()

    def num_damaged(self) -> int:
        """How many images are not what was written, or of another photograph; all of them when the file is not."""
        if not self._is_written():
            return len(self.rows)
        bad = self._changed()
        with open(self.path, "rb") as file:
            for row, start, size, checksum in zip(
                self.rows, self.starts, self.image_bytes, self.record["checksums"], strict=True
            ):
                file.seek(start)
                if zlib.crc32(file.read(size)) != checksum:
                    bad.add(row)
        return len(bad)

    def _is_written(self) -> bool:
        try:
            return self.record["rows"] == self.rows and self.path.stat().st_size == self.num_bytes
        except (OSError, ValueError, KeyError):
            return False

    def _changed(self) -> set[int]:
        """The rows whose photograph has another length than when it was packed; one that is gone does not count."""
        return {
            row
            for row, path, num_bytes in zip(
                self.rows, self.image_paths, self.record["file_bytes"], strict=True
            )
            if length_of(path) not in (num_bytes, None)
        }


def _jobs(folder: Path, contents: Contents, plan: Mapping[str, Any]) -> list[_Job]:
    rows, at_once = contents.rows, plan["images_a_part"]
    image_bytes = contents.image_bytes
    return [
        _Job(
            number=number,
            path=folder / PARTS / part_name(number),
            rows=some.tolist(),
            image_paths=[contents.paths[row] for row in some.tolist()],
            sizes_wh=contents.sizes_wh[some].tolist(),
            rectangles=contents.rectangles[some].tolist(),
            image_bytes=image_bytes[some].tolist(),
        )
        for number, some in enumerate(np.split(rows, range(at_once, len(rows), at_once)))
    ]


def _carried_out(jobs: Sequence[_Job], num_workers: int) -> Any:
    """The jobs as they are done. At an interruption those under way are finished, and no more."""
    num_workers = min(num_workers, len(jobs))
    if num_workers <= 1:
        for job in jobs:
            yield _write_part(job)
        return
    # Not fork: the caller may have torch threads running, which a forked child cannot use safely.
    context = multiprocessing.get_context("spawn")
    pool: Executor = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker)
    try:
        waiting: list[Future[_Job]] = [pool.submit(_write_part, job) for job in jobs]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C is the main process's; a killed one takes its workers along.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _write_part(job: _Job) -> _Job:
    """Decode the images of a part and write what is packed of them, then what there is to know about it."""
    checksums, file_bytes, problems = [], [], {}
    unfinished = job.path.with_suffix(_UNFINISHED)
    with open(unfinished, "wb") as file:
        for row, path, (width, height), (left, top, right, bottom), size in zip(
            job.rows, job.image_paths, job.sizes_wh, job.rectangles, job.image_bytes, strict=True
        ):
            image, problem = decode(path, (width, height))
            # In the order of a crop, so that none has to be turned.
            pixels = bytes(size) if image is None else image[top:bottom, left:right, ::-1].tobytes()
            if problem is not None:
                problems[row] = problem
            checksums.append(zlib.crc32(pixels))
            file_bytes.append(length_of(path) or 0)
            file.write(pixels)
            file.write(bytes(num_paged(size) - size))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(job.path)
    record = {"rows": job.rows, "checksums": checksums, "file_bytes": file_bytes, "problems": problems}
    _write(job.path.with_suffix(".json"), json.dumps(record).encode())
    return job


def _finish(building: Path, contents: Contents, plan: Mapping[str, Any]) -> None:
    """Write the index, and last of all the stamp."""
    num_listed = len(contents.paths)
    part_of, starts = np.full(num_listed, -1, np.int32), np.zeros(num_listed, np.int64)
    checksums, file_bytes = np.zeros(num_listed, np.uint32), np.zeros(num_listed, np.int64)
    problems: dict[str, str] = {}
    jobs = _jobs(building, contents, plan)
    for job in jobs:
        record = job.record
        part_of[job.rows], starts[job.rows] = job.number, job.starts
        checksums[job.rows], file_bytes[job.rows] = record["checksums"], record["file_bytes"]
        problems |= record["problems"]
    index = {
        "rectangles": contents.rectangles,
        "sizes_wh": contents.sizes_wh,
        "part_of": part_of,
        "starts": starts,
        "checksums": checksums,
        "file_bytes": file_bytes,
    }
    with open(building / INDEX, "wb") as file:
        np.savez(file, **index)  # type: ignore[arg-type]
    digest = hashlib.sha256((building / INDEX).read_bytes()).hexdigest()
    stamp = {
        **plan,
        "index_sha256": digest,
        "part_bytes": [job.num_bytes for job in jobs],
        "problems": problems,
    }
    _write(building / STAMP, json.dumps(stamp, indent=1).encode())


def _summary(folder: Path, *, cached: bool, mended: str = "") -> PackSummary:
    stamp = read_stamp(folder)
    return PackSummary(
        folder, stamp["num_images"], stamp["num_bytes"], tuple(stamp["problems"].values()), cached, mended
    )


def _write(path: Path, content: bytes) -> None:
    """A whole file or none."""
    unfinished = path.with_name(path.name + _UNFINISHED)
    with open(unfinished, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
