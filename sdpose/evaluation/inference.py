"""The evaluation pass: crops through the network, heatmaps to poses in image pixels.

Legend: N persons of a batch, P persons of all, I images, K joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdpose.geometry import PIXEL_STD, heatmap_to_image
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.heatmaps.decode import PostProcess


class Persons(Protocol):
    """What is asked of a table of boxes; `sdpose.data`'s PersonTable fits.

    image_index (P,) rows of the image list; box_scores (P,); bbox_ids (P,), unique within an image.
    """

    @property
    def image_index(self) -> NDArray[np.int32]: ...
    @property
    def box_scores(self) -> NDArray[np.float32]: ...
    @property
    def bbox_ids(self) -> NDArray[np.int64]: ...


class Crops(Protocol):
    """What is asked of a batch; `sdpose.data`'s PoseBatch fits.

    images (N, H, W, 3) uint8 RGB; centers (N, 2) image pixels and scales (N, 2) in 200 image pixels, on the
    host; indices (N,) int64, rows of the table of boxes; problems: one line, or None, for each of the N.
    """

    @property
    def images(self) -> Tensor: ...
    @property
    def centers(self) -> Tensor: ...
    @property
    def scales(self) -> Tensor: ...
    @property
    def indices(self) -> Tensor: ...
    @property
    def problems(self) -> Sequence[str | None]: ...


@dataclass(frozen=True)
class PosePredictions:
    """Poses of P boxes.

    keypoints (P, K, 3) float32: x, y in image pixels, and the joint's score. centers (P, 2) float32 image
    pixels, scales (P, 2) float32 in 200 image pixels, and areas (P,) float32 px^2, all of the padded box.
    box_scores (P,) float32, image_ids (P,) int64, bbox_ids (P,) int64. `problems` are the lines about samples
    that could not be read; these have no row here.
    """

    keypoints: NDArray[np.float32]
    centers: NDArray[np.float32]
    scales: NDArray[np.float32]
    areas: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    image_ids: NDArray[np.int64]
    bbox_ids: NDArray[np.int64]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    def take(self, rows: NDArray) -> PosePredictions:
        """The given rows, by index or by mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    @staticmethod
    def concatenate(parts: Sequence[PosePredictions]) -> PosePredictions:
        """All parts as one: images as they first appear, boxes within an image by bbox_id, each once.

        Raises ValueError for an empty list.
        """
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS
        }
        problems = dict.fromkeys(line for part in parts for line in part.problems)
        return PosePredictions(**arrays, problems=tuple(problems)).sorted_once()

    def sorted_once(self) -> PosePredictions:
        """Ordered by image, then by bbox_id, without repeats of a box.

        Images come by their lowest bbox_id, then by first appearance. That is the order of the table of
        boxes, whether it counts boxes over all images (detections) or anew in each (annotations).
        """
        _, first, group = np.unique(self.image_ids, return_index=True, return_inverse=True)
        lowest = np.full(len(first), np.iinfo(np.int64).max)
        np.minimum.at(lowest, group, self.bbox_ids)
        order = np.lexsort((self.bbox_ids, first[group], lowest[group]))
        image_ids, bbox_ids = self.image_ids[order], self.bbox_ids[order]
        repeated = np.zeros(len(order), bool)
        repeated[1:] = (image_ids[1:] == image_ids[:-1]) & (bbox_ids[1:] == bbox_ids[:-1])
        return self.take(order[~repeated])


_ARRAYS = ("keypoints", "centers", "scales", "areas", "box_scores", "image_ids", "bbox_ids")


@torch.inference_mode()
def predict_batches(
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[Crops],
    persons: Persons,
    *,
    image_ids: NDArray[np.int64],
    num_keypoints: int,
    flip_index: Sequence[int] | None,
    shift_heatmap: bool = True,
    post_process: PostProcess = "unbiased",
    kernel: int = 11,
    device: torch.device | str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> PosePredictions:
    """Poses of all samples of `batches`, in their order, without those that have a problem.

    forward: images (N, H, W, 3) uint8 on `device` -> heatmaps (N, K, h, w) of the first cycle. image_ids
    (I,): ids behind `persons.image_index`. num_keypoints: K. flip_index: the skeleton's permutation for the
    flip test, which sends each batch and its mirror image through `forward` as one batch of 2 N, or None for
    no flip test. progress: called after each batch with its number of samples.

    Nothing waits for the device before the end: poses stay there, 200 bytes a person, and come over in one
    copy.
    """
    on_device: list[Tensor] = []
    columns: list[tuple[NDArray, NDArray, NDArray]] = []
    problems: dict[str, None] = {}
    size_wh = (1, 1)
    for batch in batches:
        images = batch.images.to(device, non_blocking=True)
        heatmaps = _averaged_heatmaps(forward, images, flip_index, shift_heatmap)
        size_wh = (heatmaps.shape[3], heatmaps.shape[2])
        coords, scores = decode_heatmaps(heatmaps, post_process=post_process, kernel=kernel)
        on_device.append(torch.cat([coords, scores[..., None]], dim=2))  # (N, K, 3)
        readable = np.array([problem is None for problem in batch.problems], bool)
        problems.update((problem, None) for problem in batch.problems if problem is not None)
        rows = np.where(readable, batch.indices.numpy(), -1)
        columns.append((rows, batch.centers.numpy(), batch.scales.numpy()))
        if progress is not None:
            progress(len(images))
    return _in_image(on_device, columns, tuple(problems), size_wh, persons, image_ids, num_keypoints)


def _averaged_heatmaps(
    forward: Callable[[Tensor], Tensor], images: Tensor, flip_index: Sequence[int] | None, shift: bool
) -> Tensor:
    """Heatmaps (N, K, h, w) float32, averaged with those of the mirror image if there is a flip test."""
    if flip_index is None:
        return forward(images).float()
    mirrored = images.flip(2)  # (N, H, W, 3): columns
    plain, turned = forward(torch.cat([images, mirrored])).float().chunk(2)
    return (plain + flip_heatmaps(turned, flip_index, shift=shift)) * 0.5


def _in_image(
    on_device: list[Tensor],
    columns: list[tuple[NDArray, NDArray, NDArray]],
    problems: tuple[str, ...],
    heatmap_size_wh: tuple[int, int],
    persons: Persons,
    image_ids: NDArray[np.int64],
    num_keypoints: int,
) -> PosePredictions:
    """Poses in heatmap cells and their boxes, a batch an entry, as predictions in image pixels."""
    # A process may have no share of the persons.
    columns = columns or [(np.zeros(0, np.int64), np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))]
    on_device = on_device or [torch.zeros(0, num_keypoints, 3)]
    keypoints = torch.cat(on_device).cpu().numpy()  # (P, K, 3)
    rows, centers, scales = (np.concatenate(column) for column in zip(*columns, strict=True))
    kept = rows >= 0
    rows, centers, scales, keypoints = rows[kept], centers[kept], scales[kept], keypoints[kept].copy()
    keypoints[..., :2] = heatmap_to_image(keypoints[..., :2], centers, scales, heatmap_size_wh)
    return PosePredictions(
        keypoints=keypoints,
        centers=centers,
        scales=scales,
        areas=np.prod(scales * np.float32(PIXEL_STD), axis=1, dtype=np.float32),
        box_scores=np.asarray(persons.box_scores)[rows],
        image_ids=np.asarray(image_ids)[np.asarray(persons.image_index)[rows]],
        bbox_ids=np.asarray(persons.bbox_ids)[rows],
        problems=problems,
    )
