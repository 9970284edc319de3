"""One person to one crop: what a worker does.

Legend: N samples, K joints, H, W crop rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from sdpose.data.augment import Augmentation, Placement, SampleGenerator, draw
from sdpose.data.batch import PoseBatch
from sdpose.data.coco import CocoKeypoints
from sdpose.data.crop import Sheet, cut_crop
from sdpose.data.images import ImageReader
from sdpose.data.pack import Contents, Pack, crop_settings, open_pack
from sdpose.data.persons import PersonTable
from sdpose.data.photometric import distort
from sdpose.data.reach import image_rectangles, reach
from sdpose.geometry import affine_matrix, apply_affine, box_to_center_scale

# The grey of what a pack leaves out of an image.
_NOT_PACKED = 127


class SampleKey(NamedTuple):
    """Which sample: the epoch, from 0, decides the random numbers; the index is the row in the table."""

    epoch: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants of a key


class Sample(NamedTuple):
    """One crop.

    image (H, W, 3) uint8 RGB; joints (K, 2) float32 crop pixels (those of unlabelled joints mean nothing);
    visible (K,) float32 0 or 1; center (2,) float32 image pixels and scale (2,) float32, of the mirrored
    image if the sample is mirrored; index into the person table; problem: None, or why the image could not be
    used, in which case the crop is black and nothing visible.
    """

    image: NDArray[np.uint8]
    joints: NDArray[np.float32]
    visible: NDArray[np.float32]
    center: NDArray[np.float32]
    scale: NDArray[np.float32]
    index: int  # type: ignore[assignment]
    problem: str | None


class PoseDataset(Dataset[Sample]):
    """The persons of a table as crops; a sample is a pure function of (seed, epoch, index).

    With `augmentation` None (evaluation) nothing is random. Pixels come from the photographs, or from the pack in the
    folder `pack`; the samples are the same. Raises SdposeError when the images are not where the table says, or the
    pack does not fit.
    """

    def __init__(
        self,
        table: CocoKeypoints,
        persons: PersonTable,
        *,
        image_size_wh: tuple[int, int],
        augmentation: Augmentation | None,
        padding: float = 1.25,
        seed: int = 0,
        pack: str | Path | None = None,
    ) -> None:
        self.table = table
        self.persons = persons
        self.image_size_wh = image_size_wh
        self.augmentation = augmentation
        self.seed = seed
        self.centers, self.scales = box_to_center_scale(
            persons.boxes_xywh, aspect_ratio=self._aspect_ratio, padding=padding
        )
        self._sheet = Sheet()
        self._random = SampleGenerator()
        self._photographs = ImageReader(table.image_paths, table.image_sizes_wh)
        self._images: ImageReader | Pack = self._photographs
        if pack is None:
            table.check_images_exist()
        else:
            contents = self.contents(padding)
            self._images = open_pack(Path(pack), table.image_paths, table.image_sizes_wh)
            self._images.require(contents.rectangles, contents.made_for, table.ann_file)
            self._images.check_images(table.image_paths)

    def contents(self, padding: float) -> Contents:
        """What a pack for these samples holds; `padding` as in the constructor."""
        rectangles = reach(
            self.persons,
            self.centers,
            self.scales,
            aspect_ratio=self._aspect_ratio,
            augmentation=self.augmentation,
            skeleton=self.table.skeleton,
        )
        return Contents(
            paths=self.table.image_paths,
            sizes_wh=self.table.image_sizes_wh,
            rectangles=image_rectangles(rectangles, self.persons.image_index, self.table.image_sizes_wh),
            made_for=crop_settings(self.image_size_wh, padding, self.augmentation),
        )

    @property
    def _aspect_ratio(self) -> float:
        return self.image_size_wh[0] / self.image_size_wh[1]

    def __len__(self) -> int:
        return len(self.persons)

    def photograph(self, row: int) -> tuple[NDArray[np.uint8] | None, str | None]:
        """A whole image of the table (H, W, 3) in BGR, or None and what is wrong with it.

        Where a pack came without its photographs: what lies in the pack; the rest is grey.
        """
        picture, problem = self._photographs.read(row)
        if picture is None and self._images is not self._photographs:
            picture, _ = self._images.read(row)
        if picture is None:
            return None, problem
        pixels = picture.pixels[..., ::-1] if picture.is_rgb else picture.pixels
        if picture.is_whole:
            return np.ascontiguousarray(pixels), None
        width, height = picture.size_wh
        image = np.full((height, width, 3), _NOT_PACKED, np.uint8)
        rows, columns = pixels.shape[:2]
        image[picture.top : picture.top + rows, picture.left : picture.left + columns] = pixels
        return image, None

    def __getitem__(self, key: SampleKey) -> Sample:
        width, height = self.image_size_wh
        return self._make(key, np.empty((height, width, 3), np.uint8))

    def __getitems__(self, keys: Sequence[SampleKey]) -> PoseBatch:
        """The samples of `keys` as one batch, each crop written in its place; for torch's DataLoader."""
        width, height = self.image_size_wh
        images = np.empty((len(keys), height, width, 3), np.uint8)
        samples: list[Any] = [None] * len(keys)
        # An image that comes twice is decoded once.
        for place in np.argsort(self.persons.image_index[[key[1] for key in keys]], kind="stable").tolist():
            samples[place] = self._make(SampleKey(*keys[place]), images[place])
        return PoseBatch(
            images=torch.from_numpy(images),
            joints=torch.from_numpy(np.array([sample.joints for sample in samples])),
            visible=torch.from_numpy(np.array([sample.visible for sample in samples])),
            centers=torch.from_numpy(np.array([sample.center for sample in samples])),
            scales=torch.from_numpy(np.array([sample.scale for sample in samples])),
            indices=torch.tensor([sample.index for sample in samples], dtype=torch.int64),
            problems=[sample.problem for sample in samples],
        )

    def _make(self, key: SampleKey, out: NDArray[np.uint8]) -> Sample:
        """The sample of `key`, its crop written into `out` (H, W, 3)."""
        place, rng = self._place(key)
        picture, problem = self._images.read(int(self.persons.image_index[key.index]))
        joints = place.joints.copy()
        if picture is None:
            out[:] = 0
            place.visible[:] = 0
        else:
            matrix = affine_matrix(place.center, place.scale, place.rotation_deg, self.image_size_wh)
            cut_crop(picture, matrix, out, self._sheet, mirrored=place.mirrored)
            labelled = place.visible > 0
            joints[labelled] = apply_affine(joints[labelled], matrix)
            if (
                rng is not None
                and self.augmentation is not None
                and self.augmentation.photometric is not None
            ):
                out[:] = distort(out, self.augmentation.photometric, rng)
        return Sample(out, joints, place.visible, place.center, place.scale, key.index, problem)

    def _place(self, key: SampleKey) -> tuple[Placement, np.random.Generator | None]:
        """Where the crop of a person lies, and the generator that drew it; None where nothing is random."""
        index = key.index
        center, scale = self.centers[index], self.scales[index]
        joints, visible = self.persons.joints[index], self.persons.visible[index].copy()
        if self.augmentation is None:
            return Placement(center, scale, 0.0, False, joints, visible), None
        rng = self._random.of(self.seed, key.epoch, index)
        placement = draw(
            rng,
            self.augmentation,
            self.table.skeleton,
            center=center,
            scale=scale,
            joints=joints,
            visible=visible,
            image_width=int(self.table.image_sizes_wh[self.persons.image_index[index], 0]),
            aspect_ratio=self._aspect_ratio,
        )
        return placement, rng
