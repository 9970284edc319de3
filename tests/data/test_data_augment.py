"""Random placement: the published distributions, and what each draw does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdpose.data.augment import Augmentation, Placement, draw, mirror_joints, sample_generator
from sdpose.skeleton import COCO17

NUM_DRAWS = 8000
CENTER = np.array([300.0, 200.0], np.float32)
SCALE = np.array([0.75, 1.0], np.float32)
NEVER = Augmentation(shift_prob=0, flip_prob=-1, half_body_prob=0, scale_factor=0, rot_prob=-1)


def person(num_visible: int = 17) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    joints = rng.uniform((200, 100), (400, 300), (17, 2)).astype(np.float32)
    visible = (np.arange(17) < num_visible).astype(np.float32)
    return joints * visible[:, None], visible


def place(rng: Any, augmentation: Augmentation, num_visible: int = 17) -> Placement:
    return place_person(rng, augmentation, *person(num_visible))


def place_person(rng: Any, augmentation: Augmentation, joints: np.ndarray, visible: np.ndarray) -> Placement:
    return draw(
        rng,
        augmentation,
        COCO17,
        center=CENTER,
        scale=SCALE,
        joints=joints,
        visible=visible,
        image_width=640,
        aspect_ratio=0.75,
    )


@pytest.fixture(scope="module")
def placements() -> list[Placement]:
    """The published recipe for a person with too few joints for half bodies, one draw a sample."""
    return [place(sample_generator(0, 0, i), Augmentation(), num_visible=8) for i in range(NUM_DRAWS)]


def share(values: Any) -> float:
    return float(np.mean(values))


def test_half_of_the_samples_are_mirrored(placements: list[Placement]) -> None:
    assert share([p.mirrored for p in placements]) == pytest.approx(0.5, abs=0.02)


def test_three_tenths_are_shifted_by_at_most_16_percent_of_the_box(placements: list[Placement]) -> None:
    centers = np.array([(639 - p.center[0] if p.mirrored else p.center[0], p.center[1]) for p in placements])
    offsets = (centers - CENTER) / (SCALE * 200)
    shifted = np.abs(offsets).max(axis=1) > 1e-4
    assert share(shifted) == pytest.approx(0.3, abs=0.02)
    assert np.abs(offsets).max() <= 0.1601
    np.testing.assert_allclose(np.abs(offsets[shifted]).mean(axis=0), 0.08, atol=0.003)


def test_scales_are_normal_and_16_percent_sit_on_each_bound(placements: list[Placement]) -> None:
    factors = np.array([p.scale[0] / SCALE[0] for p in placements])
    for bound in (0.65, 1.35):
        assert share(np.abs(factors - bound) < 1e-6) == pytest.approx(0.159, abs=0.015)
    assert factors.min() >= 0.65 - 1e-6
    assert factors.max() <= 1.35 + 1e-6
    inside = factors[(factors > 0.651) & (factors < 1.349)]
    assert inside.mean() == pytest.approx(1, abs=0.01)
    assert share(np.abs(inside - 1) < 0.175) == pytest.approx(0.383 / 0.683, abs=0.02)
    np.testing.assert_allclose([p.scale[1] / p.scale[0] for p in placements], 4 / 3, rtol=1e-6)


def test_three_fifths_are_rotated_with_45_degrees_spread_and_a_cut_at_90(placements: list[Placement]) -> None:
    rotations = np.array([p.rotation_deg for p in placements])
    rotated = rotations[rotations != 0]
    assert len(rotated) / NUM_DRAWS == pytest.approx(0.6, abs=0.02)
    assert share(np.abs(rotated) == 90) == pytest.approx(0.0455, abs=0.01)
    assert share(np.abs(rotated) < 45) == pytest.approx(0.683, abs=0.02)
    assert np.abs(rotated).max() == 90


def test_the_upper_half_is_chosen_with_probability_069() -> None:
    always = Augmentation(shift_prob=0, flip_prob=-1, half_body_prob=1, scale_factor=0, rot_prob=-1)
    joints, _ = person()
    upper_center = joints[:11].mean(axis=0)
    lower_center = joints[11:].mean(axis=0)
    centers = np.array([place(sample_generator(1, 0, i), always).center for i in range(4000)])
    is_upper = np.abs(centers - upper_center).max(axis=1) < 1e-3
    assert share(is_upper) == pytest.approx(0.691, abs=0.025)
    np.testing.assert_allclose(
        centers[~is_upper], np.tile(lower_center, (int((~is_upper).sum()), 1)), rtol=1e-6
    )


@pytest.mark.parametrize(("num_visible", "expected"), [(8, 0.0), (9, 0.3), (17, 0.3)])
def test_half_bodies_need_more_than_eight_labelled_joints(num_visible: int, expected: float) -> None:
    recipe = Augmentation(shift_prob=0, flip_prob=-1, scale_factor=0, rot_prob=-1)
    moved = [
        not np.array_equal(place(sample_generator(2, 0, i), recipe, num_visible).center, CENTER)
        for i in range(2000)
    ]
    assert share(moved) == pytest.approx(expected, abs=0.03)


class Scripted:
    """A generator whose draws are written down."""

    def __init__(
        self, *, random: list[float], normal: list[float], uniform: tuple[float, float] = (0, 0)
    ) -> None:
        self._random, self._normal, self._uniform = list(random), list(normal), uniform

    def random(self) -> float:
        return self._random.pop(0)

    def standard_normal(self) -> float:
        return self._normal.pop(0)

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        assert (low, high, size) == (-1, 1, 2)
        return np.array(self._uniform)

    def is_used_up(self) -> bool:
        return not self._random and not self._normal


def test_draws_come_in_the_published_order_and_do_what_the_spec_says() -> None:
    # shift, mirror, half body (upper or lower), scale, rotation, whether to rotate
    rng = Scripted(random=[0.29, 0.5, 0.29, 0.6], normal=[0.6, 0.5, -1.0], uniform=(0.5, -1.0))
    placement = place(rng, Augmentation())
    assert rng.is_used_up()
    joints, visible = person()
    mirrored, _ = mirror_joints(joints, visible, COCO17, 640)
    lower = mirrored[11:]
    np.testing.assert_allclose(placement.center, lower.mean(axis=0), rtol=1e-6)
    width, height = np.ptp(lower, axis=0)
    height = max(height, width / 0.75)
    expected = np.array([height * 0.75, height]) / 200 * 1.5 * (0.5 * 0.35 + 1)
    np.testing.assert_allclose(placement.scale, expected, rtol=1e-6)
    assert (placement.rotation_deg, placement.mirrored) == (-45.0, True)
    np.testing.assert_array_equal(placement.joints, mirrored)


def test_shift_and_mirror_move_the_centre() -> None:
    rng = Scripted(random=[0.29, 0.5, 0.61], normal=[9.0, 9.0], uniform=(0.5, -1.0))
    placement = place(rng, Augmentation(), num_visible=8)
    assert rng.is_used_up()  # no half-body draw for eight joints
    np.testing.assert_allclose(
        placement.center, [640 - (300 + 0.5 * 0.16 * 150) - 1, 200 - 0.16 * 200], rtol=1e-6
    )
    np.testing.assert_allclose(placement.scale, SCALE * 1.35, rtol=1e-6)
    assert placement.rotation_deg == 0


@pytest.mark.parametrize(
    ("upper", "lower", "normal", "expected"),
    [
        (9, 0, 0.6, "upper"),  # the lower half has too few, back to the upper one
        (9, 2, 0.6, "upper"),
        (9, 3, 0.6, "lower"),
        (9, 3, 0.4, "upper"),
        (2, 6, 0.4, "lower"),
        (1, 6, 0.6, "lower"),
    ],
)
def test_a_half_with_too_few_joints_gives_way(upper: int, lower: int, normal: float, expected: str) -> None:
    joints, _ = person()
    visible = np.zeros(17, np.float32)
    visible[:upper] = visible[11 : 11 + lower] = 1
    recipe = Augmentation(half_body_num_joints=0, half_body_prob=1)
    rng = Scripted(random=[1, 1, 0, 1], normal=[normal, 0, 0])
    placement = place_person(rng, recipe, joints, visible)
    chosen = joints[:upper] if expected == "upper" else joints[11 : 11 + lower]
    np.testing.assert_allclose(placement.center, chosen.mean(axis=0), rtol=1e-6)


def test_one_joint_is_no_half_body() -> None:
    joints, _ = person()
    visible = np.zeros(17, np.float32)
    visible[0] = 1
    rng = Scripted(random=[1, 1, 0, 1], normal=[0, 0, 0])
    placement = place_person(rng, Augmentation(half_body_num_joints=0, half_body_prob=1), joints, visible)
    np.testing.assert_array_equal(placement.center, CENTER)
    np.testing.assert_array_equal(placement.scale, SCALE)


def test_without_augmentation_nothing_moves() -> None:
    joints, visible = person()
    placement = place(sample_generator(0, 0, 0), NEVER)
    np.testing.assert_array_equal(placement.center, CENTER)
    np.testing.assert_array_equal(placement.scale, SCALE)
    np.testing.assert_array_equal(placement.joints, joints)
    np.testing.assert_array_equal(placement.visible, visible)
    assert (placement.rotation_deg, placement.mirrored) == (0.0, False)


def test_mirroring_twice_gives_the_labelled_joints_back_and_zeroes_the_others() -> None:
    joints, visible = person(12)
    joints[12:] = 77
    once, once_visible = mirror_joints(joints, visible, COCO17, 640)
    assert once_visible[COCO17.flip_index[11]] == 1
    np.testing.assert_array_equal(once[0], [639 - joints[0, 0], joints[0, 1]])
    np.testing.assert_array_equal(once[once_visible == 0], np.zeros((5, 2)))
    twice, twice_visible = mirror_joints(once, once_visible, COCO17, 640)
    np.testing.assert_array_equal(twice_visible, visible)
    np.testing.assert_allclose(twice[:12], joints[:12], atol=1e-4)


def test_every_sample_has_a_stream_of_its_own_that_only_its_key_decides() -> None:
    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in (0, 1) for index in (0, 1, 2**39)]
    first = {key: tuple(sample_generator(*key).random(4)) for key in keys}
    assert len(set(first.values())) == len(keys)
    assert first == {key: tuple(sample_generator(*key).random(4)) for key in reversed(keys)}
    assert sample_generator(1087365040, 3, 5).random() != sample_generator(1087365040, 5, 3).random()


def test_the_stream_does_not_change_between_releases() -> None:
    np.testing.assert_array_equal(
        sample_generator(1087365040, 2, 7).bit_generator.random_raw(2),
        [15327623033503844863, 5317427045844552707],
    )
