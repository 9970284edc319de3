"""An annotation file of the size and shape of COCO's person_keypoints_train2017.json, drawn at random.

The real file lists 118,287 images and 262,465 annotations, of which 149,813 have labelled joints; it takes 239 MB, half
of them outlines. What is written here has the same proportions, keys, order of keys and spacing, for any number of
persons. The images themselves are not made.

    python -m benchmarks.coco_size FILE [--persons 150000] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from sdpose.skeleton import COCO17

NUM_PERSONS = 150_000
IMAGES_A_PERSON = 118_287 / 149_813
ANNOTATIONS_A_PERSON = 262_465 / 149_813
CROWD_SHARE = 0.012
_POOL = 4096  # different outlines and poses; the parsers that read them do not look at what was before
_SIZES = ((640, 480), (640, 427), (480, 640), (640, 360), (500, 375))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write an annotation file of COCO's size and shape.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--persons", type=int, default=NUM_PERSONS, help="with labelled joints")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_annotations(args.file, args.persons, args.seed)
    print(
        f"{args.file}: {args.file.stat().st_size / 1e6:.0f} MB, {args.persons} persons with labelled joints"
    )


def write_annotations(path: Path, num_persons: int = NUM_PERSONS, seed: int = 0) -> None:
    """A file with exactly `num_persons` (at least 1) annotations that have labelled joints, among others."""
    rng = np.random.default_rng(seed)
    num_images = max(1, round(num_persons * IMAGES_A_PERSON))
    image_ids = np.sort(rng.choice(num_images * 5, num_images, replace=False) + 1)
    sizes = rng.integers(0, len(_SIZES), num_images)
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"info": {"description": "of COCO\'s size, not COCO"},"licenses": [],"images": [')
        _write_list(file, _images(image_ids, sizes))
        file.write('],"annotations": [')
        _write_list(file, _annotations(rng, image_ids, sizes, num_persons))
        joints = ",".join(f'"{name}"' for name in COCO17.keypoints)
        file.write('],"categories": [{"supercategory": "person","id": 1,"name": "person",')
        file.write(f'"keypoints": [{joints}],"skeleton": [[16,14]]}}]}}')


def _write_list(file: TextIO, entries: Iterator[str]) -> None:
    file.write(next(entries))
    file.writelines("," + entry for entry in entries)


def _images(image_ids: np.ndarray, sizes: np.ndarray) -> Iterator[str]:
    for image_id, size in zip(image_ids.tolist(), sizes.tolist(), strict=True):
        name = f"{image_id:012d}.jpg"
        width, height = _SIZES[size]
        yield (
            f'{{"license": 3,"file_name": "{name}","coco_url": "http://images.cocodataset.org/train2017/{name}",'
            f'"height": {height},"width": {width},"date_captured": "2013-11-14 11:18:45","flickr_url": '
            f'"http://farm9.staticflickr.com/8186/{image_id * 7919:010d}_2a77b1ff5c_z.jpg","id": {image_id}}}'
        )


def _annotations(
    rng: np.random.Generator, image_ids: np.ndarray, sizes: np.ndarray, num_persons: int
) -> Iterator[str]:
    total = max(num_persons, round(num_persons * ANNOTATIONS_A_PERSON))
    labelled = np.zeros(total, bool)
    labelled[:num_persons] = True
    labelled = rng.permutation(labelled)
    crowd = ~labelled & (rng.random(total) < CROWD_SHARE * total / max(1, total - num_persons))
    image_rows = rng.integers(0, len(image_ids), total)
    box_shares = rng.uniform((0, 0, 0.05, 0.1), (0.5, 0.4, 0.5, 0.6), (total, 4))
    numbers = rng.permutation(total) + 183_126
    outlines = [_outline(rng) for _ in range(_POOL)]
    runs = [_runs(rng) for _ in range(64)]
    poses = [_pose(rng) for _ in range(_POOL)]
    nobody = (0, ",".join(["0"] * 51))
    choices = rng.integers(0, _POOL, total).tolist()
    for row, (choice, image_row) in enumerate(zip(choices, image_rows.tolist(), strict=True)):
        width, height = _SIZES[sizes[image_row]]
        x, y, w, h = (box_shares[row] * (width, height, width, height)).round(2).tolist()
        count, joints = poses[choice] if labelled[row] else nobody
        outline = runs[choice % 64] if crowd[row] else outlines[choice]
        yield (
            f'{{"segmentation": {outline},"num_keypoints": {count},"area": {round(w * h * 0.5237, 5)},'
            f'"iscrowd": {int(crowd[row])},"keypoints": [{joints}],"image_id": {image_ids[image_row]},'
            f'"bbox": [{x},{y},{w},{h}],"category_id": 1,"id": {numbers[row]}}}'
        )


def _outline(rng: np.random.Generator) -> str:
    """Polygons; 64 numbers on average and a long tail, as COCO's persons have."""
    parts = 1 + int(rng.random() < 0.15)
    polygons = []
    for _ in range(parts):
        corners = int(np.clip(rng.lognormal(3.15, 0.6), 4, 300))
        points = (rng.uniform(0, 600, 2 * corners)).round(2)
        polygons.append("[" + ",".join(f"{value:g}" for value in points.tolist()) + "]")
    return "[" + ",".join(polygons) + "]"


def _runs(rng: np.random.Generator) -> str:
    """A crowd region as run lengths."""
    counts = rng.integers(1, 400, int(rng.integers(200, 2000))).tolist()
    return '{"counts": [' + ",".join(map(str, counts)) + '],"size": [480,640]}'


def _pose(rng: np.random.Generator) -> tuple[int, str]:
    """How many of the 17 joints are labelled, at least one, and all of them as numbers."""
    flags = rng.choice(3, 17, p=(0.35, 0.1, 0.55))
    flags[int(rng.integers(0, 17))] = 2
    points = rng.integers(1, 480, (17, 2)) * (flags[:, None] > 0)
    return int((flags > 0).sum()), ",".join(
        map(str, np.concatenate([points, flags[:, None]], 1).ravel().tolist())
    )


if __name__ == "__main__":
    main()
