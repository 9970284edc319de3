"""What an annotation file holds, counted: persons, crowds, and everything that looks like a mistake.

Legend: A annotations with a box and joints, K joints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.data.annotation_file import AnnotationFile


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts. Rows are rows of the `AnnotationFile`."""

    num_images: int
    num_images_without_person: int
    num_crowd: int
    num_without_box: int
    num_without_joint: int
    """Annotations, crowds aside, without a single labelled joint."""
    num_persons: int
    """Annotations with a box and at least one labelled joint: the training samples."""
    num_joints: int
    """Labelled ones."""
    num_joints_outside_image: int
    num_joints_outside_crop: int
    """Outside the box enlarged by `padding`: no crop without augmentation shows them."""
    elsewhere_rows: NDArray[np.intp]
    """Persons of whose joints more than half lie outside their enlarged box: box and joints of two people."""
    num_joints_at_origin: int
    """Labelled, and at (0, 0), where unlabelled ones are written."""
    num_unknown_flags: int
    """Flags other than 0, 1 and 2."""
    num_wrong_counts: int
    """Annotations whose num_keypoints is not the number of their labelled joints."""
    num_too_large_areas: int
    """Areas larger than the box: OKS would forgive too much."""
    duplicate_rows: NDArray[np.intp]
    """Persons with exactly the joints of an earlier one of the same image."""
    num_repeated_ids: int


def take_census(content: Mapping[str, Any], file: AnnotationFile, *, padding: float = 1.25) -> Census:
    """Count what `content`, an annotation file as read, and `file`, the same as arrays, hold."""
    annotations = content.get("annotations", [])
    crowd = [bool(annotation.get("iscrowd")) for annotation in annotations]
    people = [annotation for annotation, is_crowd in zip(annotations, crowd, strict=True) if not is_crowd]
    flags, xy = file.keypoints[..., 2], file.keypoints[..., :2]
    labelled = flags > 0  # (A, K)
    is_person = np.asarray(labelled.any(1), bool)
    outside_image = labelled & _outside(
        xy, np.zeros((len(xy), 2)), file.image_sizes_wh[file.image_index].astype(float)
    )
    corner, size = file.boxes_xywh[:, :2], file.boxes_xywh[:, 2:]
    margin = size * (padding - 1) / 2
    outside_crop = labelled & _outside(xy, corner - margin, corner + size + margin)
    ids = Counter(annotation["id"] for annotation in annotations if "id" in annotation)
    with_person = np.unique(file.image_index[is_person])
    counted = file.num_keypoints >= 0
    return Census(
        num_images=len(file.image_ids),
        num_images_without_person=len(file.image_ids) - len(with_person),
        num_crowd=sum(crowd),
        num_without_box=sum(not annotation.get("bbox") for annotation in people),
        num_without_joint=sum(not any(list(a.get("keypoints") or [])[2::3]) for a in people),
        num_persons=int(is_person.sum()),
        num_joints=int(labelled.sum()),
        num_joints_outside_image=int(outside_image.sum()),
        num_joints_outside_crop=int(outside_crop.sum()),
        elsewhere_rows=np.flatnonzero(is_person & (2 * outside_crop.sum(1) > labelled.sum(1))),
        num_joints_at_origin=int((labelled & (xy == 0).all(2)).sum()),
        num_unknown_flags=int((~np.isin(flags, (0, 1, 2))).sum()),
        num_wrong_counts=int((counted & (file.num_keypoints != labelled.sum(1))).sum()),
        num_too_large_areas=int((np.isfinite(file.area) & (file.area > 1.05 * np.prod(size, axis=1))).sum()),
        duplicate_rows=_duplicates(file, is_person),
        num_repeated_ids=sum(count - 1 for count in ids.values()),
    )


def _outside(
    xy: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which of the points (A, K, 2) lie outside the rectangles (A, 2)."""
    return np.asarray(((xy < low[:, None]) | (xy > high[:, None])).any(2))


def _duplicates(file: AnnotationFile, is_person: NDArray[np.bool_]) -> NDArray[np.intp]:
    seen: set[tuple[int, bytes]] = set()
    found = []
    for row in np.flatnonzero(is_person).tolist():
        key = (int(file.image_index[row]), file.keypoints[row].tobytes())
        if key in seen:
            found.append(row)
        seen.add(key)
    return np.array(found, np.intp)
