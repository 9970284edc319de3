"""Numbers stay with their person; joints tremble less and do not lag."""

from __future__ import annotations

import numpy as np
import pytest

from sdpose.predict.one_euro import OneEuroFilter
from sdpose.predict.poses import Poses
from sdpose.predict.tracking import PoseTracker, box_overlaps
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


def test_a_still_joint_trembles_less() -> None:
    rng = np.random.default_rng(1)
    noisy = 100 + rng.normal(size=(300, 17, 2))
    smooth = OneEuroFilter()
    steady = np.array([smooth(frame, FRAME_S, scale=60.0) for frame in noisy])
    assert steady[30:].std() < 0.55 * noisy[30:].std()


def test_a_moving_joint_hardly_lags() -> None:
    path = np.linspace(0, 600, 120)  # 150 pixels a second, person of 60
    smooth = OneEuroFilter()
    out = [float(smooth(np.array([x]), FRAME_S, scale=60.0)[0]) for x in path]
    assert abs(out[-1] - path[-1]) < 20
    assert out == sorted(out)


def test_the_first_frame_and_a_repeated_one_are_passed_through() -> None:
    smooth = OneEuroFilter()
    first = np.array([[3.0, 4.0]])
    assert smooth(first, 0.0) is not None
    np.testing.assert_array_equal(smooth(first + 1, 0.0), first + 1)


@pytest.mark.parametrize(
    ("box", "overlap"), [([0, 0, 10, 10], 1.0), ([5, 0, 10, 10], 1 / 3), ([20, 0, 5, 5], 0.0)]
)
def test_overlap(box: list[float], overlap: float) -> None:
    one, other = np.array([[0, 0, 10, 10]], np.float32), np.array([box], np.float32)
    assert box_overlaps(one, other)[0, 0] == pytest.approx(overlap)
