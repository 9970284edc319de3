"""COCO keypoint sets as tables: which persons to train on, and which boxes to look into at test time.

Legend: I images, P persons, K joints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdpose.data.annotation_file import AnnotationFile, read_annotation_file
from sdpose.data.detections import read_detections
from sdpose.data.image_paths import PathList
from sdpose.data.persons import PersonTable
from sdpose.errors import SdposeError
from sdpose.geometry import clip_to_images
from sdpose.skeleton import Skeleton


@dataclass(frozen=True)
class CocoKeypoints:
    """The images of one annotation file and the persons in them.

    image_ids (I,) int64, image_paths (I), image_sizes_wh (I, 2) int32, all in the file's order. `notes` are
    lines for the user about what was left out.
    """

    ann_file: Path
    skeleton: Skeleton
    image_ids: NDArray[np.int64]
    image_paths: PathList
    image_sizes_wh: NDArray[np.int32]
    has_annotations: bool
    notes: tuple[str, ...]
    _persons: PersonTable = field(repr=False)

    def ground_truth_persons(self) -> PersonTable:
        """The annotated persons with at least one labelled joint, ordered by image.

        Raises SdposeError when there is none.
        """
        if not self.has_annotations:
            raise SdposeError(
                f"{self.ann_file} has no 'annotations', so it gives no boxes and no joints; use a file with "
                "annotations, or for a test set use_gt_bbox=False and a bbox_file"
            )
        if not len(self._persons):
            raise SdposeError(
                f"{self.ann_file} has no person with a labelled joint in its {len(self.image_ids)} images; "
                "expected at least one annotation with a box, 'keypoints' and num_keypoints > 0"
            )
        return self._persons

    def detected_persons(self, bbox_file: str | Path, score_threshold: float = 0.0) -> PersonTable:
        """The boxes a person detector found, in the order of its file, taken as they are.

        Raises SdposeError for a file that is not a list of detections in images of this set.
        """
        return read_detections(
            Path(bbox_file),
            score_threshold=score_threshold,
            image_ids=self.image_ids,
            ann_file=self.ann_file,
            num_joints=self.skeleton.num_keypoints,
        )

    def check_images_exist(self, num_looked_for: int = 50) -> None:
        """Raise SdposeError when the image folder is plainly the wrong one.

        That is: it does not exist, or none of some images spread over the set is there. Single missing images
        are met, and counted, when they are read.
        """
        if not Path(self.image_paths.folder).is_dir():
            raise SdposeError(
                f"the image folder {self.image_paths.folder} does not exist (for {self.ann_file}); check "
                "img_prefix in the config, or --data-root"
            )
        rows = np.unique(np.linspace(0, len(self.image_paths) - 1, num_looked_for).astype(int))
        try:
            found = any(Path(self.image_paths[int(row)]).is_file() for row in rows)
        except OSError as error:  # no permission, a disk that went away, a name too long
            raise SdposeError(
                f"the images in {self.image_paths.folder} cannot be reached ({error.strerror}: {error.filename}); "
                "make the folder readable, or check img_prefix in the config"
            ) from error
        if not found:
            raise SdposeError(
                f"none of the {len(rows)} images looked for exists, for example {self.image_paths[0]}; "
                f"img_prefix + file_name of {self.ann_file} must be the path of the image"
            )


def load_coco(ann_file: str | Path, img_prefix: str | Path, skeleton: Skeleton) -> CocoKeypoints:
    """Read a COCO keypoint annotation file whose images lie under `img_prefix`.

    Raises SdposeError, naming what is missing and the cure, for a file that is not COCO keypoints of this
    skeleton.
    """
    path = Path(ann_file)
    content = read_annotation_file(path, skeleton)
    persons = _annotated_persons(content)
    notes = []
    if content.num_unlisted:
        notes.append(
            f"{path}: {content.num_unlisted} annotations belong to images that are not listed; left out"
        )
    return CocoKeypoints(
        ann_file=path,
        skeleton=skeleton,
        image_ids=content.image_ids,
        image_paths=PathList(str(img_prefix), content.file_names),
        image_sizes_wh=content.image_sizes_wh,
        has_annotations=content.has_annotations,
        notes=tuple(notes),
        _persons=persons,
    )


def _annotated_persons(content: AnnotationFile) -> PersonTable:
    """Clip boxes to their images, drop what has no area or no joint, number the rest within each image."""
    boxes = clip_to_images(content.boxes_xywh, content.image_sizes_wh[content.image_index])
    kept = (content.area > 0) & (boxes[:, 2:] > 0).all(axis=1) & (content.num_keypoints != 0)
    rows = np.flatnonzero(kept)
    rows = rows[content.keypoints[rows].max(axis=(1, 2), initial=-np.inf) != 0]
    rows = rows[np.argsort(content.image_index[rows], kind="stable")]
    image_index = content.image_index[rows]
    return PersonTable(
        image_index=image_index,
        boxes_xywh=boxes[rows],
        joints=content.keypoints[rows, :, :2].astype(np.float32),
        visible=(content.keypoints[rows, :, 2] > 0).astype(np.float32),
        box_scores=np.ones(len(rows), np.float32),
        bbox_ids=np.arange(len(rows), dtype=np.int64)
        - np.searchsorted(image_index, image_index, side="left"),
    )
