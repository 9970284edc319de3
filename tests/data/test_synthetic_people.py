"""What is drawn is what is annotated: flags, areas and boxes agree with the painted labels."""

import numpy as np
import pytest

from sdpose.data.synthetic.body import ArmAngles, LegAngles, Pose, Proportions, pose_body
from sdpose.data.synthetic.clothing import draw_outfit
from sdpose.data.synthetic.drawing import PlacedBody, draw_person, place_body, visibility
from sdpose.data.synthetic.poses import draw_pose, draw_proportions
from sdpose.data.synthetic.scene import draw_scene, person_mask
from sdpose.skeleton import COCO17

HANGING = ArmAngles(elevation=12, azimuth=0, elbow=5, twist=0)
STANDING = LegAngles(flexion=0, abduction=6, knee=2)
SIZE_WH = (240, 240)


def standing(yaw: float = 0.0, arms: tuple[ArmAngles, ArmAngles] = (HANGING, HANGING)) -> Pose:
    return Pose(
        yaw=yaw, tilt=0, roll=0, spine=(0, 0, 0), head=(0, 0, 0), arms=arms, legs=(STANDING, STANDING)
    )


def flags_of(
    pose: Pose, *, cover: PlacedBody | None = None, pelvis: tuple[float, float] = (120, 110)
) -> dict:
    """COCO flags by joint name of one person of 200 px, possibly with another one in front."""
    image, labels = np.zeros((*SIZE_WH[::-1], 3), np.uint8), np.zeros(SIZE_WH[::-1], np.uint8)
    placed = place_body(pose_body(pose, Proportions()), 200, pelvis)
    draw_person(image, labels, placed, draw_outfit(np.random.default_rng(0)), 1)
    if cover is not None:
        draw_person(image, labels, cover, draw_outfit(np.random.default_rng(1)), 101)
    return dict(zip(COCO17.keypoints, visibility(labels, placed, 1).tolist(), strict=True))


def test_everything_of_a_person_facing_us_is_seen() -> None:
    assert set(flags_of(standing()).values()) == {2}


def test_a_back_hides_the_face_and_nothing_else() -> None:
    flags = flags_of(standing(yaw=180))
    assert {name for name, flag in flags.items() if flag == 1} == {"nose", "left_eye", "right_eye"}
    assert 0 not in flags.values()


@pytest.mark.parametrize(("yaw", "hidden", "seen"), [(90, "left", "right"), (-90, "right", "left")])
def test_a_side_view_hides_the_far_side(yaw: float, hidden: str, seen: str) -> None:
    # A body turned by +90 degrees looks to the right of the picture and keeps its left side away from us.
    raised = ArmAngles(elevation=90, azimuth=90, elbow=0, twist=0)  # hanging arms would hide the near hip
    flags = flags_of(standing(yaw=yaw, arms=(raised, raised)))
    for joint in ("shoulder", "hip", "eye", "ear"):
        assert flags[f"{hidden}_{joint}"] == 1, joint
        assert flags[f"{seen}_{joint}"] == 2, joint
    assert flags["nose"] == 2


def test_a_hand_behind_the_back_is_hidden_and_before_the_belly_seen() -> None:
    behind = ArmAngles(elevation=35, azimuth=-90, elbow=0, twist=0)
    across = ArmAngles(elevation=35, azimuth=110, elbow=40, twist=-20)
    flags = flags_of(standing(arms=(behind, across)))
    assert flags["right_wrist"] == 2
    turned = flags_of(standing(yaw=180, arms=(behind, across)))
    assert turned["left_wrist"] == 2


def test_a_person_in_front_hides_what_lies_behind() -> None:
    cover = place_body(pose_body(standing(), Proportions(girth=1.3)), 215, (120, 112))
    flags = flags_of(standing(), cover=cover)
    assert {name: flags[name] for name in ("nose", "left_hip", "right_hip", "left_knee", "right_knee")} == {
        "nose": 1, "left_hip": 1, "right_hip": 1, "left_knee": 1, "right_knee": 1
    }  # fmt: skip


def test_joints_beyond_the_border_are_absent() -> None:
    flags = flags_of(standing(), pelvis=(120, 210))
    assert flags["left_ankle"] == flags["right_knee"] == 0
    assert flags["nose"] == 2


def test_left_is_on_the_right_of_the_picture_for_someone_facing_us() -> None:
    joints = pose_body(standing(), Proportions()).joints
    assert joints[5, 0] > joints[6, 0]
    assert pose_body(standing(yaw=180), Proportions()).joints[5, 0] < 0


@pytest.mark.parametrize("seed", range(40))
def test_bones_keep_their_length_whatever_the_pose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    proportions, pose = draw_proportions(rng), draw_pose(rng)
    joints = pose_body(pose, proportions).joints
    for a, b, length in (
        (5, 7, proportions.upper_arm),
        (8, 10, proportions.forearm),
        (11, 13, proportions.thigh),
        (14, 16, proportions.shin),
        (5, 6, 2 * proportions.shoulder_half_width),
    ):
        assert np.linalg.norm(joints[a] - joints[b]) == pytest.approx(length, abs=1e-9)


@pytest.mark.parametrize("size_wh", [(320, 240), (640, 480), (96, 200)])
@pytest.mark.parametrize("index", range(8))
def test_annotations_agree_with_the_labels(size_wh: tuple[int, int], index: int) -> None:
    scene = draw_scene(np.random.default_rng([7, index]), size_wh)
    width, height = size_wh
    assert scene.image.shape == (height, width, 3)
    masks = [mask for number in range(4) if (mask := person_mask(scene.labels, number)).any()]
    assert len(masks) == len(scene.people)
    for mask, person in zip(masks, scene.people, strict=True):
        rows, columns = np.nonzero(mask)
        assert person.area == len(rows)
        x, y, w, h = person.bbox_xywh
        assert (x, y, x + w - 1, y + h - 1) == (columns.min(), rows.min(), columns.max(), rows.max())
        inside = person.keypoints[person.keypoints[:, 2] > 0]
        assert (inside[:, :2] >= 0).all()
        assert (inside[:, 0] < width).all()
        assert (inside[:, 1] < height).all()
        assert not person.keypoints[person.keypoints[:, 2] == 0].any()
        for px, py, flag in person.keypoints:
            if flag == 2:  # what is seen lies on the person's own pixels
                assert mask[int(py + 0.5), int(px + 0.5)]


def test_all_flags_occur_and_most_joints_are_seen() -> None:
    flags = np.concatenate(
        [
            person.keypoints[:, 2]
            for index in range(60)
            for person in draw_scene(np.random.default_rng([3, index]), (320, 240)).people
        ]
    )
    share = [float((flags == value).mean()) for value in (0, 1, 2)]
    assert 0.01 < share[0] < 0.15
    assert 0.08 < share[1] < 0.35
    assert share[2] > 0.55
