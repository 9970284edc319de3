"""Pictures: what is drawn where, what is left out, and that prediction and truth stand side by side."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sdpose.draw import comparison_sheet, draw_poses, truth_scores
from sdpose.draw.poses import CENTRE, LEFT, RIGHT
from sdpose.skeleton import COCO17, CROWDPOSE14, Skeleton

BLACK = np.zeros((240, 320, 3), np.uint8)


def standing(x: float = 160, y: float = 20, height: float = 200) -> np.ndarray:
    """(17, 3): a person facing us, so the person's left is on our right."""
    across = [0, 4, -4, 8, -8, 20, -20, 30, -30, 34, -34, 14, -14, 15, -15, 16, -16]
    down = [
        0.05,
        0.03,
        0.03,
        0.05,
        0.05,
        0.2,
        0.2,
        0.37,
        0.37,
        0.52,
        0.52,
        0.52,
        0.52,
        0.75,
        0.75,
        0.97,
        0.97,
    ]
    scale = height / 200
    return np.column_stack([x + np.array(across) * scale, y + np.array(down) * height, np.ones(17)])


def has(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((image == color).all(-1).any())


def test_sides_have_their_colours_where_they_are() -> None:
    drawn = draw_poses(BLACK, standing()[None], COCO17)
    assert has(drawn[:, 180:], LEFT)
    assert not has(drawn[:, :140], LEFT)
    assert has(drawn[:, :140], RIGHT)
    assert not has(drawn[:, 180:], RIGHT)
    assert has(drawn, CENTRE)
    assert drawn.shape == BLACK.shape
    assert drawn.dtype == np.uint8


def test_the_image_itself_stays() -> None:
    image = BLACK.copy()
    draw_poses(image, standing()[None], COCO17)
    assert not image.any()


@pytest.mark.parametrize(
    "keypoints", [np.zeros((0, 17, 3)), np.zeros((1, 17, 3)), standing()[None] * [1, 1, 0.2]]
)
def test_without_a_joint_above_the_threshold_nothing_is_drawn(keypoints: np.ndarray) -> None:
    assert not draw_poses(BLACK, keypoints, COCO17).any()


def test_a_joint_below_the_threshold_takes_its_limbs_along() -> None:
    pose = standing()[None].copy()
    pose[0, 9, 2] = 0.1  # left wrist
    drawn = draw_poses(BLACK, pose, COCO17)
    x, y = pose[0, 9, :2].round().astype(int)
    assert not drawn[y - 4 : y + 5, x : x + 5].any()


def test_an_unsure_joint_is_hollow() -> None:
    pose = standing(height=220)
    x, y = pose[9, :2].round().astype(int)
    assert tuple(draw_poses(BLACK, pose[None], COCO17)[y, x]) == LEFT
    pose[9, 2] = 0.3
    assert tuple(draw_poses(BLACK, pose[None], COCO17)[y, x]) != LEFT


def test_lines_grow_with_the_person() -> None:
    large = np.zeros((960, 1280, 3), np.uint8)
    amount = [
        (draw_poses(large, standing(640, 20, height)[None], COCO17).any(-1)).sum() / height
        for height in (60, 240, 900)
    ]
    assert amount[0] < amount[1] < amount[2]


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e12, 1e30])
def test_joints_far_outside_are_left_out(value: float) -> None:
    pose = standing()[None].copy()
    pose[0, 9, 0] = value
    drawn = draw_poses(BLACK, pose, COCO17)
    pose[0, 9, 2] = 0
    np.testing.assert_array_equal(drawn, draw_poses(BLACK, pose, COCO17))


def test_sides_follow_the_names_whatever_the_order_of_the_pair() -> None:
    swapped = Skeleton(
        name="two",
        keypoints=("right_hand", "left_hand"),
        flip_pairs=((0, 1),),
        upper_body=(0, 1),
        lower_body=(),
        limbs=(),
        sigmas=(0.1, 0.1),
    )
    drawn = draw_poses(BLACK, np.array([[[50.0, 100, 1], [250, 100, 1]]]), swapped)
    assert has(drawn[:, :160], RIGHT)
    assert has(drawn[:, 160:], LEFT)
    assert not has(drawn[:, :160], LEFT)


def test_other_skeletons() -> None:
    assert draw_poses(BLACK, standing()[None, :14], CROWDPOSE14).any()


def test_flags_become_scores() -> None:
    keypoints = np.array([[1, 2, 2], [3, 4, 1], [5, 6, 0]])
    assert truth_scores(keypoints).tolist() == [[1, 2, 1], [3, 4, 0.4], [5, 6, 0]]
    assert keypoints[0, 2] == 2


def sheet(num: int, **options: object) -> np.ndarray:
    truth = standing() * [1, 1, 2]
    arguments: dict = {"panel_size_wh": (160, 120), "columns": 2, **options}
    return comparison_sheet([BLACK] * num, [standing()[None]] * num, [truth[None]] * num, COCO17, **arguments)


def test_prediction_is_left_and_truth_right() -> None:
    nobody = np.zeros((0, 17, 3))
    options: dict = {"panel_size_wh": (160, 120)}
    only_predicted = comparison_sheet([BLACK], [standing()[None]], [nobody], COCO17, **options)
    only_true = comparison_sheet([BLACK], [nobody], [standing()[None] * [1, 1, 2]], COCO17, **options)
    half = only_predicted.shape[1] // 2
    assert has(only_predicted[:, :half], LEFT)
    assert not has(only_predicted[:, half:], LEFT)
    assert has(only_true[:, half:], LEFT)
    assert not has(only_true[:, :half], LEFT)


def test_equal_poses_look_equal_on_both_sides() -> None:
    picture = sheet(1)
    panel = picture[12 + 22 : 12 + 22 + 100, 12:]  # below the title, above the words
    np.testing.assert_array_equal(panel[:, :160], panel[:, 164 : 164 + 160])


def test_rows_and_columns() -> None:
    one, two, three = sheet(1), sheet(2), sheet(3)
    assert two.shape[1] > one.shape[1]
    assert three.shape[1] == two.shape[1]
    assert three.shape[0] > two.shape[0]
    assert sheet(2, columns=1).shape[1] == one.shape[1]
    assert sheet(0).size > 0


def test_text_changes_the_picture_and_no_letter_stops_it() -> None:
    plain = sheet(1)
    assert not np.array_equal(plain, sheet(1, titles=["000000000139.jpg"]))
    assert not np.array_equal(plain, sheet(1, oks=[[0.81]]))
    assert sheet(1, heading="포즈").shape[0] > plain.shape[0]


def test_the_numbers_of_persons_at_one_place_do_not_cover_each_other() -> None:
    crowd = np.repeat(standing()[None], 3, axis=0)
    options: dict = {"panel_size_wh": (320, 240)}
    colors = [(40, 40, 170), (10, 110, 190), (70, 120, 20)]
    picture = comparison_sheet(
        [BLACK], [crowd], [crowd * [1, 1, 2]], COCO17, oks=[[0.3, 0.6, 0.9]], **options
    )
    areas = [int((picture == color).all(-1).sum()) for color in colors]
    assert min(areas) > 0.7 * max(areas) > 0


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        comparison_sheet([BLACK, BLACK], [standing()[None]], [standing()[None]], COCO17)


def test_a_small_person_fills_the_panel() -> None:
    """The part of the image around the truth is shown, not the whole image."""
    image = np.zeros((1000, 1000, 3), np.uint8)
    small = standing(800, 700, 60)[None]
    picture = comparison_sheet([image], [small], [small * [1, 1, 2]], COCO17, panel_size_wh=(160, 120))
    rows = np.flatnonzero((picture[:, :170] == LEFT).all(-1).any(1))
    assert np.ptp(rows) > 50


def test_real_photographs(shared: Path) -> None:
    folder = shared / "data" / "coco_tiny"
    content = json.loads((folder / "person_keypoints_val.json").read_text())
    images, truth = [], []
    for image in content["images"][:4]:
        persons = [
            a["keypoints"]
            for a in content["annotations"]
            if a["image_id"] == image["id"] and a["num_keypoints"]
        ]
        images.append(cv2.imread(str(folder / "images" / image["file_name"])))
        truth.append(np.array(persons, float).reshape(-1, 17, 3))
    predicted = [truth_scores(keypoints) for keypoints in truth]
    picture = comparison_sheet(images, predicted, truth, COCO17, heading="truth twice")
    assert has(picture, LEFT)
    assert has(picture, RIGHT)
