"""What was found in one image: P persons with K joints each, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.data.plain_columns import PERSON_CATEGORY
from sdpose.draw import draw_poses
from sdpose.errors import SdposeError
from sdpose.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class Poses:
    """Persons of one image, in the order of their boxes. All coordinates in pixels of that image."""

    keypoints: NDArray[np.float32]
    """(P, K, 2) x, y."""
    scores: NDArray[np.float32]
    """(P, K) the peak of each joint's heatmap, about 0 to 1."""
    boxes_xywh: NDArray[np.float32]
    """(P, 4) left, top, width, height, as given."""
    box_scores: NDArray[np.float32]
    """(P,) of the detector; 1 where nobody said."""
    skeleton: Skeleton
    track_ids: NDArray[np.int64] | None = field(default=None)
    """(P,) the same person has the same id through a film; None for single images."""

    def __len__(self) -> int:
        return len(self.keypoints)

    def take(self, rows: NDArray[Any]) -> Poses:
        """The given persons, by index or by mask."""
        ids = None if self.track_ids is None else self.track_ids[rows]
        return replace(
            self,
            keypoints=self.keypoints[rows],
            scores=self.scores[rows],
            boxes_xywh=self.boxes_xywh[rows],
            box_scores=self.box_scores[rows],
            track_ids=ids,
        )

    @property
    def pose_scores(self) -> NDArray[np.float32]:
        """(P,) box score times the mean score of its joints above 0.2: what COCO results are ranked by (spec 7)."""
        seen = self.scores > 0.2
        means = np.where(
            seen.any(axis=1), (self.scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1), 0.0
        )
        return np.asarray(means * self.box_scores, dtype=np.float32)

    def draw(self, image_bgr: NDArray[np.uint8], *, score_threshold: float = 0.2) -> NDArray[np.uint8]:
        """A copy of the image (H, W, 3) with the skeletons in it; joints at or below the threshold are left out."""
        joints = np.concatenate([self.keypoints, self.scores[..., None]], axis=2)
        return draw_poses(image_bgr, joints, self.skeleton, score_threshold=score_threshold)

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """Entries of a COCO keypoint result file, one a person."""
        rows = np.concatenate([self.keypoints, self.scores[..., None]], axis=2)
        entries: list[dict[str, Any]] = []
        for index, score in enumerate(self.pose_scores.tolist()):
            entry: dict[str, Any] = {
                "image_id": image_id,
                "category_id": PERSON_CATEGORY,
                "keypoints": [round(value, 3) for value in rows[index].ravel().tolist()],
                "score": round(score, 5),
                "bbox": [round(value, 2) for value in self.boxes_xywh[index].tolist()],
            }
            if self.track_ids is not None:
                entry["track_id"] = int(self.track_ids[index])
            entries.append(entry)
        return entries

    def to_supervision(self) -> Any:
        """`supervision.KeyPoints`, with the joints' scores, the boxes' scores, and in a film `data["tracker_id"]`.

        Raises SdposeError where that package is not installed, or is older than 0.29.
        """
        try:
            import supervision
        except ImportError as error:
            raise SdposeError(
                "to_supervision needs the package supervision: pip install 'sdpose[supervision]'"
            ) from error
        if "keypoint_confidence" not in signature(supervision.KeyPoints).parameters:
            raise SdposeError(
                f"supervision {supervision.__version__} calls its fields otherwise; expected 0.29 or newer: "
                "pip install -U supervision"
            )
        return supervision.KeyPoints(
            xy=self.keypoints.copy(),
            keypoint_confidence=self.scores.copy(),
            detection_confidence=self.box_scores.copy(),
            class_id=np.zeros(len(self), dtype=int),
            data={} if self.track_ids is None else {"tracker_id": self.track_ids.copy()},
        )
