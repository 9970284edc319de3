"""Writes the embedded set in COCO's layout, once, and never leaves half of it under its name.

    out_dir/annotations/person_keypoints_{train,val}2017.json
    out_dir/{train,val}2017/000000000001.jpg ...
    out_dir/person_detection_results/COCO_val2017_detections_AP_H_56_person.json
    out_dir/preview.jpg           a few pictures with their joints
    out_dir/synthetic.json        the settings it was made with: the sign that the folder is ours and complete

A picture depends on (seed, split, index) alone, so more workers or a longer set change no byte of it.
"""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sdpose.data.folder_lock import lock_file, locked
from sdpose.data.own_folder import clear, is_ours
from sdpose.data.pack import partial_folder, usual_folder
from sdpose.data.synthetic.coco_records import (
    annotation_file,
    detection_records,
    image_and_annotations,
    image_id_of,
)
from sdpose.data.synthetic.preview import write_preview
from sdpose.data.synthetic.scene import draw_scene
from sdpose.errors import SdposeError

# Raise it whenever the same seed gives other pictures or annotations: cached sets are then made anew.
VERSION = 1
STAMP = "synthetic.json"
DETECTION_FILE = "COCO_val2017_detections_AP_H_56_person.json"
_ENTRIES = {
    *("annotations", "train2017", "val2017", "person_detection_results", "preview.jpg", STAMP),
    # `sdpose data pack` writes beside the images by default; a set that is made anew takes its packs with it.
    *(
        path.name
        for pack in map(usual_folder, (Path("train2017"), Path("val2017")))
        for path in (pack, lock_file(pack), partial_folder(pack))
    ),
}
_JPEG_QUALITY = 92
_CHUNK = 16
_SPLITS = ("train", "val")
_MAX_SIDE = 8192


@dataclass(frozen=True)
class DatasetSummary:
    """What lies in `out_dir`; `cached` when it lay there before."""

    out_dir: Path
    num_train_images: int
    num_val_images: int
    num_train_people: int
    num_val_people: int
    cached: bool


@dataclass(frozen=True)
class _Settings:
    num_train_images: int
    num_val_images: int
    image_size_wh: tuple[int, int]
    seed: int
    version: int = VERSION


def make_dataset(
    out_dir: Path | str,
    *,
    num_train_images: int,
    num_val_images: int,
    image_size_wh: tuple[int, int] = (320, 240),
    seed: int = 0,
    num_workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> DatasetSummary:
    """Makes the set, or finds it made with the same settings. `progress(done, total)` counts pictures.

    Everything is written beside `out_dir` and renamed at the end; what an interrupted run left is cleared
    away. A second process asking for the same folder waits for the first. Raises SdposeError for settings
    that make no sense, for an `out_dir` with anything in it that this function did not write, and when the
    disk refuses.
    """
    settings = _Settings(
        num_train_images, num_val_images, (int(image_size_wh[0]), int(image_size_wh[1])), seed
    )
    _check(settings, num_workers)
    out_dir = Path(out_dir).resolve()
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with locked(out_dir):
            return _find(out_dir, settings) or _make(out_dir, settings, num_workers, progress)
    except OSError as error:
        raise SdposeError(
            f"the embedded data set could not be written to {out_dir}: {error.strerror or error}; "
            "free some space or choose another folder with --out"
        ) from error


def _check(settings: _Settings, num_workers: int) -> None:
    width, height = settings.image_size_wh
    if settings.num_train_images < 1 or settings.num_val_images < 1:
        raise SdposeError(
            f"asked for {settings.num_train_images} train and {settings.num_val_images} val images; "
            "at least one of each is needed"
        )
    if not (64 <= width <= _MAX_SIDE and 64 <= height <= _MAX_SIDE):
        raise SdposeError(
            f"image size {width}x{height} is out of range; width and height must be 64 to {_MAX_SIDE} pixels"
        )
    if settings.seed < 0:
        raise SdposeError(f"seed is {settings.seed}; it must be 0 or greater")
    if num_workers < 0:
        raise SdposeError(
            f"the number of workers is {num_workers}; it must be 0 (no extra process) or greater"
        )


def _find(out_dir: Path, settings: _Settings) -> DatasetSummary | None:
    """The set already there, whole and with these settings, or None. Refuses a folder that is not ours."""
    if not is_ours(out_dir, stamp=STAMP, entries=_ENTRIES, what="data set", command="sdpose data synth"):
        return None
    try:
        stamp = json.loads((out_dir / STAMP).read_text())
        if stamp["settings"] != _plain(settings) or not _is_whole(out_dir, stamp):
            return None
        return DatasetSummary(out_dir, **stamp["counts"], cached=True)
    except (ValueError, KeyError, TypeError):
        return None  # a damaged stamp: ours by name and neighbours, so it is made anew


def _is_whole(out_dir: Path, stamp: dict[str, Any]) -> bool:
    """Whether the annotations are what was written and every picture is there with some content."""
    for relative, digest in stamp["sha256"].items():
        path = out_dir / relative
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return False
    for split in _SPLITS:
        folder = out_dir / f"{split}2017"
        if not folder.is_dir():
            return False
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
        wanted = (
            f"{image_id_of(split, index):012d}.jpg" for index in range(stamp["counts"][f"num_{split}_images"])
        )
        if any(sizes.get(name, 0) == 0 for name in wanted):
            return False
    return True


def _make(
    out_dir: Path, settings: _Settings, num_workers: int, progress: Callable[[int, int], None] | None
) -> DatasetSummary:
    partial_dir, old_dir = (out_dir.with_name(f".{out_dir.name}.{word}") for word in ("partial", "old"))
    for leftover in (partial_dir, old_dir):
        clear(leftover, _ENTRIES)
    for folder in ("annotations", "train2017", "val2017", "person_detection_results"):
        (partial_dir / folder).mkdir(parents=True)
    # Marked as ours from the first moment, so that a later run may clear it away.
    (partial_dir / STAMP).write_text("{}")

    counts: dict[str, int] = {}
    records = _draw_all(partial_dir, settings, num_workers, progress)
    for split in _SPLITS:
        content = annotation_file(records[split], split=split, seed=settings.seed)
        counts[f"num_{split}_images"] = len(content["images"])
        counts[f"num_{split}_people"] = len(content["annotations"])
        _write_json(partial_dir / "annotations" / f"person_keypoints_{split}2017.json", content)
    detections = detection_records(records["val"], settings.image_size_wh, settings.seed)
    _write_json(partial_dir / "person_detection_results" / DETECTION_FILE, detections)
    write_preview(partial_dir, records["train"], partial_dir / "preview.jpg")

    hashed = sorted(path for path in partial_dir.rglob("*.json") if path.name != STAMP)
    stamp = {
        "settings": _plain(settings),
        "counts": counts,
        "sha256": {
            str(path.relative_to(partial_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in hashed
        },
    }
    _write_json(partial_dir / STAMP, stamp, indent=2)
    if out_dir.exists():
        out_dir.rename(old_dir)
    partial_dir.rename(out_dir)
    clear(old_dir, _ENTRIES)
    return DatasetSummary(out_dir, **counts, cached=False)


def _draw_all(
    folder: Path, settings: _Settings, num_workers: int, progress: Callable[[int, int], None] | None
) -> dict[str, list[dict[str, Any]]]:
    """Draws and writes every picture. Returns {split: [{image, annotations}, ...]} in order of index."""
    numbers = {"train": settings.num_train_images, "val": settings.num_val_images}
    jobs = [
        (split, range(first, min(first + _CHUNK, numbers[split])))
        for split in _SPLITS
        for first in range(0, numbers[split], _CHUNK)
    ]
    work = partial(_draw_chunk, folder, settings)
    records: dict[str, list[dict[str, Any]]] = {split: [] for split in _SPLITS}
    done, total = 0, sum(numbers.values())

    def collect(results: Iterator[list[dict[str, Any]]]) -> None:
        nonlocal done
        for (split, indices), result in zip(jobs, results, strict=True):
            records[split] += result
            done += len(indices)
            if progress is not None:
                progress(done, total)

    num_workers = min(num_workers, len(jobs))
    if num_workers <= 1:
        collect(map(work, jobs))
    else:
        # Not fork: the caller may have torch threads running, which a forked child cannot use safely.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
            collect(pool.map(work, jobs))
    return records


def _draw_chunk(folder: Path, settings: _Settings, job: tuple[str, range]) -> list[dict[str, Any]]:
    split, indices = job
    # The processes are the parallelism; OpenCV's own threads would only get in their way.
    cv2.setNumThreads(1)
    result = []
    for index in indices:
        rng = np.random.default_rng([settings.seed, _SPLITS.index(split), index])
        scene = draw_scene(rng, settings.image_size_wh)
        record = image_and_annotations(scene, split=split, index=index)
        _, encoded = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / f"{split}2017" / record["image"]["file_name"]).write_bytes(encoded.tobytes())
        result.append(record)
    return result


def _plain(settings: _Settings) -> dict[str, Any]:
    return {**asdict(settings), "image_size_wh": list(settings.image_size_wh)}


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, indent=indent))
