"""The same person has the same number from frame to frame: boxes that overlap belong together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sdpose.data.box_match import iou_matrix
from sdpose.predict.poses import Poses
from sdpose.predict.smoothing import PoseSmoothing

Boxes = NDArray[np.float32]


@dataclass
class _Track:
    number: int
    box_xywh: Boxes
    unseen: int = 0
    smoothing: PoseSmoothing = field(default_factory=PoseSmoothing)


class PoseTracker:
    """Numbers persons through a film, and steadies their joints.

    The best overlaps are matched first; a person who is not seen for `patience` frames gets a new number when coming
    back. Boxes are those around the joints, which are steadier than a detector's.
    """

    def __init__(
        self,
        *,
        min_overlap: float = 0.3,
        patience: int = 15,
        smooth: bool = True,
        score_threshold: float = 0.2,
    ) -> None:
        self.min_overlap = min_overlap
        self.patience = patience
        self.smooth = smooth
        self.score_threshold = score_threshold
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, poses: Poses, elapsed_s: float) -> Poses:
        """The poses of the next frame, numbered and smoothed; `elapsed_s` since the frame before."""
        boxes = joint_boxes(poses, self.score_threshold)
        owners = self._match(boxes)
        numbers, keypoints = np.zeros(len(poses), np.int64), poses.keypoints.copy()
        seen = []
        for row, box in enumerate(boxes):
            track = owners.get(row) or self._new(box)
            since_s, track.unseen = elapsed_s * (track.unseen + 1), 0
            track.box_xywh = box
            numbers[row] = track.number
            if self.smooth:
                size = float(np.sqrt(max(box[2] * box[3], 1.0)))
                keypoints[row] = track.smoothing(keypoints[row], poses.scores[row], since_s, size=size)
            seen.append(track)
        for track in self._tracks:
            if all(track is not each for each in seen):
                track.unseen += 1
        kept = [track for track in self._tracks if track.unseen <= self.patience]
        self._tracks = kept
        return replace(poses, keypoints=keypoints, track_ids=numbers)

    def _new(self, box: Boxes) -> _Track:
        track = _Track(self._next, box)
        self._next += 1
        self._tracks.append(track)
        return track

    def _match(self, boxes: Boxes) -> dict[int, _Track]:
        if not len(boxes) or not self._tracks:
            return {}
        tracked = np.stack([track.box_xywh for track in self._tracks])
        overlaps = iou_matrix(boxes.astype(np.float64), tracked.astype(np.float64))
        owners: dict[int, _Track] = {}
        while overlaps.size and overlaps.max() >= self.min_overlap:
            row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
            owners[int(row)] = self._tracks[int(column)]
            overlaps[row, :] = -1.0
            overlaps[:, column] = -1.0
        return owners


def joint_boxes(poses: Poses, score_threshold: float) -> Boxes:
    """(P, 4) left, top, width, height around the joints that were found; the given box where hardly any was."""
    boxes = poses.boxes_xywh.copy()
    for row, (joints, scores) in enumerate(zip(poses.keypoints, poses.scores, strict=True)):
        found = joints[scores > score_threshold]
        if len(found) >= 4:
            low, high = found.min(axis=0), found.max(axis=0)
            boxes[row] = [*low, *np.maximum(high - low, 1.0)]
    return boxes
