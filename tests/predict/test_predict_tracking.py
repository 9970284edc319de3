"""Numbers stay with their person; joints tremble less and do not lag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sdpose.predict.one_euro import OneEuroFilter
from sdpose.predict.poses import Poses
from sdpose.predict.smoothing import PoseSmoothing
from sdpose.predict.tracking import PoseTracker, joint_boxes
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


def test_two_people_never_share_a_number() -> None:
    tracker = PoseTracker(smooth=False)
    tracker.update(people((0, 0)), FRAME_S)
    assert ids(tracker.update(people((6, 0), (2, 0)), FRAME_S)) == [2, 1]


def test_who_was_away_is_smoothed_over_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    elapsed: list[float] = []

    def note(self: Any, joints: Any, scores: Any, elapsed_s: float, *, size: float) -> Any:
        elapsed.append(elapsed_s)
        return joints

    monkeypatch.setattr(PoseSmoothing, "__call__", note)
    tracker = PoseTracker()
    for places in ([(0, 0)], [(0, 0)], [], [], [(0, 0)], [(0, 0)]):
        tracker.update(people(*places), 0.5)
    assert elapsed == [0.5, 0.5, 1.5, 0.5]


@pytest.mark.parametrize(("num_found", "is_given_box"), [(0, True), (3, True), (4, False)])
def test_a_box_is_drawn_around_joints_where_enough_were_found(num_found: int, is_given_box: bool) -> None:
    one = people((10, 20))
    one.scores[0, num_found:] = 0.1
    (box,) = joint_boxes(one, 0.2)
    found = one.keypoints[0, :num_found]
    around = [*found.min(0), *np.ptp(found, axis=0)] if num_found else []
    np.testing.assert_allclose(box, one.boxes_xywh[0] if is_given_box else around, rtol=1e-5)


def test_a_joint_that_was_guessed_does_not_pull_the_person_along() -> None:
    joints, scores = np.zeros((17, 2)), np.ones(17)
    scores[9] = 0.0
    smooth = PoseSmoothing()
    smooth(joints, scores, FRAME_S, size=60.0)
    jumped = joints.copy()
    jumped[9] = 1000.0
    others = np.delete(smooth(jumped, scores, FRAME_S, size=60.0), 9, axis=0)
    assert np.abs(others).max() < 0.01


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
