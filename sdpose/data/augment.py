"""Random placement of a training crop: shift, mirror, half body, scale and rotation.

The distributions and the order of the draws are the published pipeline's. The numbers come from a
counter-based generator, so that a sample is the same whoever makes it, whenever, and with how many workers.

Legend: K joints. Positions are image pixels, of the mirrored image once a sample is mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdpose.data.photometric import PhotometricDistortion
from sdpose.geometry import PIXEL_STD, fit_aspect_ratio
from sdpose.skeleton import Skeleton

HALF_BODY_PADDING = 1.5


@dataclass(frozen=True)
class Augmentation:
    """How much the training crops vary; the defaults are the published recipe."""

    shift_factor: float = 0.16
    """Largest shift of the centre, in parts of the padded box."""
    shift_prob: float = 0.3
    flip_prob: float = 0.5
    half_body_num_joints: int = 8
    """Half-body crops are drawn only for persons with more labelled joints than this."""
    half_body_prob: float = 0.3
    rot_factor: float = 45.0
    """Standard deviation of the rotation in degrees; cut off at twice this."""
    scale_factor: float = 0.35
    """Standard deviation of the scale, and where it is cut off, as parts of 1."""
    rot_prob: float = 0.6
    photometric: PhotometricDistortion | None = None
    """Brightness, contrast, saturation and hue; None (published) leaves the colours alone."""


class Placement(NamedTuple):
    """Where the crop lies and what it shows.

    center (2,) and scale (2,) float32; rotation_deg; mirrored; joints (K, 2) and visible (K,) float32,
    swapped and mirrored with the image.
    """

    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    rotation_deg: float
    mirrored: bool
    joints: NDArray[np.float32]
    visible: NDArray[np.float32]


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one sample: a stream of their own for every (seed, epoch, index).

    epoch < 2^24, index < 2^40.
    """
    return np.random.Generator(np.random.Philox(key=_key(seed, epoch, index)))


class SampleGenerator:
    """`sample_generator` for one sample after the other, without making a generator for each."""

    def __init__(self) -> None:
        self._generator = sample_generator(0, 0, 0)
        self._start: dict[str, Any] = dict(self._generator.bit_generator.state)

    def of(self, seed: int, epoch: int, index: int) -> np.random.Generator:
        """The same numbers as `sample_generator`, until the next call."""
        key = _key(seed, epoch, index)
        self._generator.bit_generator.state = self._start | {"state": self._start["state"] | {"key": key}}
        return self._generator


def _key(seed: int, epoch: int, index: int) -> NDArray[np.uint64]:
    return np.array([seed % 2**64, int(epoch) << 40 | int(index)], np.uint64)


def draw(
    rng: np.random.Generator,
    augmentation: Augmentation,
    skeleton: Skeleton,
    *,
    center: NDArray[np.float32],
    scale: NDArray[np.float32],
    joints: NDArray[np.float32],
    visible: NDArray[np.float32],
    image_width: int,
    aspect_ratio: float,
) -> Placement:
    """One random placement of a person's crop.

    center (2,), scale (2,), joints (K, 2), visible (K,) describe the person as annotated; they are not
    changed. aspect_ratio is that of the crop, width / height.
    """
    center, scale = center.copy(), scale.copy()
    if rng.random() < augmentation.shift_prob:
        shift = rng.uniform(-1, 1, 2) * augmentation.shift_factor * scale * PIXEL_STD
        center = (center + shift).astype(np.float32)

    mirrored = bool(rng.random() <= augmentation.flip_prob)
    if mirrored:
        center[0] = image_width - float(center[0]) - 1
        joints, visible = mirror_joints(joints, visible, skeleton, image_width)

    if (
        int((visible > 0).sum()) > augmentation.half_body_num_joints
        and rng.random() < augmentation.half_body_prob
    ):
        selected = _select_half_body(rng, skeleton, visible)
        if len(selected) >= 2:
            center, scale = _enclose(joints[selected], aspect_ratio)

    factor = augmentation.scale_factor
    scale_by = min(max(rng.standard_normal() * factor + 1, 1 - factor), 1 + factor)
    scale = scale * np.float32(scale_by)
    largest = 2 * augmentation.rot_factor
    rotation = min(max(rng.standard_normal() * augmentation.rot_factor, -largest), largest)
    rotation_deg = rotation if rng.random() <= augmentation.rot_prob else 0.0
    return Placement(center, scale, rotation_deg, mirrored, joints, visible)


def mirror_joints(
    joints: NDArray[np.float32], visible: NDArray[np.float32], skeleton: Skeleton, image_width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints (K, 2) and visibilities (K,) of the mirrored person; unlabelled joints lie at 0."""
    index = list(skeleton.flip_index)
    visible = visible[index]
    joints = joints[index]
    joints[:, 0] = image_width - 1 - joints[:, 0]
    joints *= (visible > 0)[:, None]
    return joints, visible


def _select_half_body(
    rng: np.random.Generator, skeleton: Skeleton, visible: NDArray[np.float32]
) -> list[int]:
    """Labelled joints of the upper or the lower half.

    The published code compares a *normal* draw with 0.5, so the upper half is tried first with probability
    0.69.
    """
    upper = [joint for joint in skeleton.upper_body if visible[joint] > 0]
    lower = [joint for joint in skeleton.lower_body if visible[joint] > 0]
    if rng.standard_normal() < 0.5 and len(upper) > 2:
        return upper
    return lower if len(lower) > 2 else upper


def _enclose(
    points: NDArray[np.float32], aspect_ratio: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre at the mean of points (n, 2), and a scale that holds them all and half as much again."""
    extent = points.max(axis=0) - points.min(axis=0)
    size = fit_aspect_ratio(extent[0], extent[1], aspect_ratio)
    scale = (size / PIXEL_STD).astype(np.float32) * np.float32(HALF_BODY_PADDING)
    return points.mean(axis=0), scale
