"""Geometry against the published numbers, and its own round trips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdpose.geometry import (
    affine_matrix,
    apply_affine,
    box_to_center_scale,
    fit_aspect_ratio,
    heatmap_to_image,
)


@pytest.fixture(scope="module")
def reference(parity: Path) -> dict[str, np.ndarray]:
    with np.load(parity / "geometry.npz") as archive:
        return dict(archive)


def test_centers_and_scales_equal_the_published_ones(reference: dict[str, np.ndarray]) -> None:
    centers, scales = box_to_center_scale(reference["bbox"], aspect_ratio=0.75)
    np.testing.assert_array_equal(centers, reference["center"])
    np.testing.assert_array_equal(scales, reference["scale"])
    assert centers.dtype == scales.dtype == np.float32


def test_matrices_equal_the_published_ones(reference: dict[str, np.ndarray]) -> None:
    for case in range(10):
        center, scale, rotation = (reference[key][case] for key in ("center", "scale", "rot"))
        np.testing.assert_array_equal(
            affine_matrix(center, scale, rotation, (192, 256)), reference["affine"][case]
        )
        np.testing.assert_array_equal(
            affine_matrix(center, scale, rotation, (48, 64), inverse=True),
            reference["affine_inv_heatmap48x64"][case],
        )


def test_moved_points_equal_the_published_ones(reference: dict[str, np.ndarray]) -> None:
    for case in range(10):
        moved = apply_affine(reference["pts"][case], reference["affine"][case])
        np.testing.assert_allclose(moved, reference["pts_affine"][case], rtol=1e-14, atol=1e-12)


def test_heatmap_cells_go_back_to_the_published_pixels(reference: dict[str, np.ndarray]) -> None:
    points = heatmap_to_image(reference["hm_coords"], reference["center"], reference["scale"], (48, 64))
    np.testing.assert_array_equal(points, reference["transform_preds"])
    one = heatmap_to_image(reference["hm_coords"][3], reference["center"][3], reference["scale"][3], (48, 64))
    np.testing.assert_array_equal(one, points[3])


def test_the_box_centre_lands_in_the_crop_centre_and_the_padded_width_fills_it() -> None:
    centers, scales = box_to_center_scale([100.0, 50.0, 60.0, 80.0], aspect_ratio=0.75)
    matrix = affine_matrix(centers, scales, 0.0, (192, 256))
    corners = apply_affine([[130, 90], [130 - 37.5, 90 - 50], [130 + 37.5, 90 + 50]], matrix)
    np.testing.assert_allclose(corners, [[96, 128], [0, 0], [192, 256]], atol=1e-4)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 0, 0), (0, 0)),
        ((5, 5, 30, 40), (30, 40)),
        ((0, 0, 60, 40), (60, 80)),
        ((0, 0, 3, 40), (30, 40)),
    ],
)
def test_boxes_grow_to_the_aspect_ratio_and_never_shrink(
    box: tuple[float, ...], size: tuple[float, float]
) -> None:
    np.testing.assert_allclose(fit_aspect_ratio(box[2], box[3], 0.75), size)
    _, scale = box_to_center_scale(box, aspect_ratio=0.75, padding=1.0)
    np.testing.assert_allclose(scale * 200, size, rtol=1e-6)


def test_forward_and_inverse_undo_each_other() -> None:
    forward = affine_matrix((310.0, 211.5), (1.2, 1.6), 33.0, (192, 256))
    backward = affine_matrix((310.0, 211.5), (1.2, 1.6), 33.0, (192, 256), inverse=True)
    points = np.random.default_rng(0).uniform(-50, 500, (20, 2))
    np.testing.assert_allclose(apply_affine(apply_affine(points, forward), backward), points, atol=1e-3)


def test_a_positive_rotation_turns_the_person_counter_clockwise_on_the_screen() -> None:
    matrix = affine_matrix((100.0, 100.0), (1.0, 1.0), 90.0, (192, 256))
    right_of_centre = apply_affine((150.0, 100.0), matrix)
    np.testing.assert_allclose(right_of_centre, (96.0, 128.0 - 48.0), atol=1e-4)
