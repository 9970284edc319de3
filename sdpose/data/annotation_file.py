"""Reading a COCO keypoint annotation file, and saying plainly what is wrong when it is not one.

Legend: I images, A person annotations that carry a box and joints, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.data.json_file import number_column, number_rows, parse_json, read_text, which_entry
from sdpose.data.plain_columns import Columns, image_rows, read_columns
from sdpose.errors import SdposeError, nearest
from sdpose.skeleton import Skeleton


@dataclass(frozen=True)
class AnnotationFile:
    """What a COCO keypoint file says, as arrays.

    image_ids (I,) int64 and image_sizes_wh (I, 2) int32 in file order. Per annotation, in file order:
    image_index (A,) int32 into the images, boxes_xywh (A, 4) float64 and keypoints (A, K, 3) float64 (x, y,
    flag) as written, area (A,) with +inf where the file gives none, num_keypoints (A,) with -1 where it gives
    none.
    """

    image_ids: NDArray[np.int64]
    image_sizes_wh: NDArray[np.int32]
    file_names: list[str]
    image_index: NDArray[np.int32]
    boxes_xywh: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    area: NDArray[np.float64]
    num_keypoints: NDArray[np.float64]
    has_annotations: bool
    num_unlisted: int
    """Annotations of images that the file does not list; they are left out."""


def read_annotation_file(path: Path, skeleton: Skeleton) -> AnnotationFile:
    """The file's images and its non-crowd annotations that have both a box and joints.

    Raises SdposeError for anything that is not a COCO keypoint file of this skeleton. A file without the key
    `annotations` (COCO's test-dev) is one with `has_annotations` False.
    """
    text = read_text(path, "annotation file")
    columns = read_columns(text, skeleton.num_keypoints)
    file = None if columns is None else _of_columns(path, columns, skeleton)
    # What the quick way does not take is read entry by entry, which can also say which entry is wrong.
    return file or interpret_annotations(path, parse_json(path, text, "annotation file"), skeleton)


def _of_columns(path: Path, columns: Columns, skeleton: Skeleton) -> AnnotationFile | None:
    """The file of these columns; None where no annotation belongs to a listed image."""
    _check_images(path, columns.image_ids, columns.image_sizes_wh)
    _check_joint_names(path, columns.categories, skeleton)
    image_index = image_rows(columns.image_ids, columns.image_ids_of)
    listed = image_index >= 0
    if not listed.any():
        return None
    kept = slice(None) if listed.all() else listed
    return AnnotationFile(
        image_ids=columns.image_ids,
        image_sizes_wh=columns.image_sizes_wh,
        file_names=columns.file_names,
        image_index=image_index[kept],
        boxes_xywh=columns.boxes_xywh[kept],
        keypoints=columns.keypoints.reshape(-1, skeleton.num_keypoints, 3)[kept],
        area=columns.area[kept],
        num_keypoints=columns.num_keypoints[kept],
        has_annotations=True,
        num_unlisted=int(len(listed) - listed.sum()),
    )


def interpret_annotations(path: Path, content: Any, skeleton: Skeleton) -> AnnotationFile:
    """What `read_annotation_file` gives, of what `read_json` gave for `path`."""
    if not isinstance(content, dict):
        raise SdposeError(
            f"{path} holds a {_json_type(content)}, expected a COCO annotation file: a dict with the keys "
            "images, annotations, categories (a list of detections belongs into data_cfg's bbox_file)"
        )
    images = _entries(path, content, "images")
    if not images:
        raise SdposeError(f"{path} lists no images; expected at least one under the key 'images'")
    image_ids, sizes_wh, file_names = _read_images(path, images)
    _check_joint_names(path, content.get("categories"), skeleton)
    annotations = _entries(path, content, "annotations") if "annotations" in content else []

    row_of = {image_id: row for row, image_id in enumerate(image_ids.tolist())}
    kept = [a for a in annotations if not a.get("iscrowd") and a.get("bbox") and a.get("keypoints")]
    if annotations and not any(a.get("keypoints") for a in annotations):
        raise SdposeError(
            f"{path} has {len(annotations)} annotations but none with 'keypoints', so it is for detection; "
            "use the person_keypoints_*.json of the set"
        )
    image_index = np.array([row_of.get(_integer(a.get("image_id")), -1) for a in kept], np.int32)
    listed = image_index >= 0
    if len(kept) and not listed.any():
        raise SdposeError(
            f"{path}: none of the {len(kept)} annotations belongs to a listed image (image_id "
            f"{kept[0].get('image_id')!r}, for example, is not among the image ids); images and annotations "
            "come from different sets"
        )
    num_unlisted = int(len(kept) - listed.sum())
    if num_unlisted:
        kept = [a for a, is_listed in zip(kept, listed, strict=True) if is_listed]
    return AnnotationFile(
        image_ids=image_ids,
        image_sizes_wh=sizes_wh,
        file_names=file_names,
        image_index=image_index[listed],
        boxes_xywh=number_rows(path, kept, "bbox", 4, "left, top, width, height"),
        keypoints=_read_keypoints(path, kept, skeleton),
        area=number_column(path, kept, "area", np.inf),
        num_keypoints=number_column(path, kept, "num_keypoints", -1),
        has_annotations="annotations" in content,
        num_unlisted=num_unlisted,
    )


def _json_type(value: Any) -> str:
    return {list: "list", str: "text", bool: "boolean", type(None): "null"}.get(type(value), "number")


def _entries(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of dicts under `key`."""
    if key not in content:
        raise SdposeError(
            f"{path} has no '{key}' (it has: {', '.join(content) or 'nothing'}); expected a COCO keypoint "
            f"file with images, annotations and categories.{nearest(key, content)}"
        )
    entries = content[key]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SdposeError(f"'{key}' in {path} is not a list of dicts; expected COCO's layout")
    return entries


def _read_images(
    path: Path, images: Sequence[dict[str, Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int32], list[str]]:
    """Ids (I,), sizes (I, 2) and file names of the images."""
    for key, kind in (("id", int), ("file_name", str), ("width", int), ("height", int)):
        for row, image in enumerate(images):
            if type(image.get(key)) is not kind:
                got = f"'{key}': {image[key]!r}" if key in image else f"no '{key}'"
                raise SdposeError(
                    f"{path}: image {row} ({image.get('file_name', image.get('id', '?'))}) has {got}; every "
                    f"image needs id, width and height as whole numbers and file_name as text"
                )
    ids = np.array([image["id"] for image in images], np.int64)
    sizes = np.array([(image["width"], image["height"]) for image in images], np.int32)
    _check_images(path, ids, sizes)
    return ids, sizes, [image["file_name"] for image in images]


def _check_images(path: Path, ids: NDArray[np.int64], sizes: NDArray[np.int32]) -> None:
    """Refuse ids that come twice, and images without extent."""
    _, first = np.unique(ids, return_index=True)
    if len(first) < len(ids):
        repeated = ids[np.setdiff1d(np.arange(len(ids)), first)[0]]
        raise SdposeError(f"{path} lists image id {repeated} twice; every image needs its own id")
    if sizes.min() < 1:
        row = int(np.argmax(sizes.min(axis=1) < 1))
        raise SdposeError(
            f"{path}: image id {ids[row]} is {sizes[row, 0]}x{sizes[row, 1]} pixels; expected its size"
        )


def _check_joint_names(path: Path, categories: Any, skeleton: Skeleton) -> None:
    """Refuse the right joints in another order: training on them would run, and learn nonsense."""
    for category in categories or []:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if not names:
            continue
        spelled = [str(name).lower().replace(" ", "_").replace("-", "_") for name in names]
        if sorted(spelled) == sorted(skeleton.keypoints) and spelled != list(skeleton.keypoints):
            first = next(i for i, name in enumerate(spelled) if name != skeleton.keypoints[i])
            raise SdposeError(
                f"{path} has the joints in another order than skeleton '{skeleton.name}': joint {first} is "
                f"'{spelled[first]}', expected '{skeleton.keypoints[first]}'; put dataset_info in the file's "
                "order"
            )


def _read_keypoints(
    path: Path, annotations: Sequence[dict[str, Any]], skeleton: Skeleton
) -> NDArray[np.float64]:
    """Joints (A, K, 3) as written."""
    num_joints = skeleton.num_keypoints
    layout = f"x, y, visibility for each of the {num_joints} joints of skeleton '{skeleton.name}'"
    for annotation in annotations:
        points = annotation["keypoints"]
        if isinstance(points, list) and len(points) != 3 * num_joints and len(points) % 3 == 0:
            raise SdposeError(
                f"{path}: {which_entry(annotation)} has {len(points) // 3} joints, skeleton "
                f"'{skeleton.name}' has {num_joints}; give the matching dataset_info, or the annotation file "
                "of this skeleton"
            )
    return number_rows(path, annotations, "keypoints", 3 * num_joints, layout).reshape(-1, num_joints, 3)


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None
