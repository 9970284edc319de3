"""Numbers stay with their person; joints tremble less and do not lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdpose.predict.one_euro import OneEuroFilter
from sdpose.predict.poses import Poses
from sdpose.predict.smoothing import PoseSmoothing
from sdpose.predict.tracking import PoseTracker
from sdpose.skeleton import COCO17

FRAME_S = 1 / 30


def people(*places: tuple[float, float]) -> Poses:
    """A person of 40 x 80 pixels at each place."""
    rng = np.random.default_rng(0)
    shape = rng.random((17, 2)) * [40, 80]
    keypoints = np.array([shape + place for place in places], np.float32).reshape(-1, 17, 2)
    boxes = np.array([[*place, 40, 80] for place in places], np.float32).reshape(-1, 4)
    return Poses(
        keypoints=keypoints,
        scores=np.ones(keypoints.shape[:2], np.float32),
        boxes_xywh=boxes,
        box_scores=np.ones(len(boxes), np.float32),
        skeleton=COCO17,
    )


def ids(poses: Poses) -> list[int]:
    assert poses.track_ids is not None
    return poses.track_ids.tolist()


def test_numbers_follow_people_who_change_places_in_the_list() -> None:
    tracker = PoseTracker(smooth=False)
    assert ids(tracker.update(people((0, 0), (200, 0)), FRAME_S)) == [1, 2]
    assert ids(tracker.update(people((195, 3), (5, 2)), FRAME_S)) == [2, 1]
    assert ids(tracker.update(people(), FRAME_S)) == []
    assert ids(tracker.update(people((8, 2), (400, 0)), FRAME_S)) == [1, 3]


def test_who_was_away_for_long_gets_a_new_number() -> None:
    tracker = PoseTracker(patience=2)
    tracker.update(people((0, 0)), FRAME_S)
    for _ in range(2):
        tracker.update(people(), FRAME_S)
    assert ids(tracker.update(people((0, 0)), FRAME_S)) == [1]
    for _ in range(3):
        tracker.update(people(), FRAME_S)
    assert ids(tracker.update(people((0, 0)), FRAME_S)) == [2]


def smoothed(joints: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, 17, 2) of a person of 60 pixels."""
    smooth, scores = PoseSmoothing(), np.ones(17)
    return np.array([smooth(frame, scores, FRAME_S, size=60.0) for frame in joints])


def test_a_still_person_trembles_less() -> None:
    noisy = 100 + np.random.default_rng(1).normal(size=(300, 17, 2))
    assert smoothed(noisy)[30:].std() < 0.55 * noisy[30:].std()


def test_a_walking_person_is_not_left_behind() -> None:
    rng = np.random.default_rng(2)
    path = np.linspace(0, 400, 120)[:, None, None] * [1.0, 0.0]  # 100 pixels a second
    posture = rng.random((17, 2)) * [30, 120]
    lag = smoothed(path + posture) - path - posture
    assert np.abs(lag[30:]).max() < 0.01 * 60


def test_a_joint_that_moves_by_itself_is_followed() -> None:
    joints = np.zeros((120, 17, 2))
    joints[:, 9, 1] = 30 * np.sin(
        np.arange(120) / 120 * 4 * np.pi
    )  # a wrist, up and down once in two seconds
    assert np.abs(smoothed(joints) - joints)[30:, 9].max() < 0.1 * 60


def test_the_first_frame_and_a_repeated_one_are_passed_through() -> None:
    smooth = OneEuroFilter(min_cutoff_hz=1.0, beta=1.0)
    first = np.array([[3.0, 4.0]])
    assert smooth(first, 0.0) is not None
    np.testing.assert_array_equal(smooth(first + 1, 0.0), first + 1)
