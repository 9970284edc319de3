"""The persons on whom an export is measured and int8 ranges are found: a config's, a folder's, or drawn ones.

Legend: N crops of a batch, H, W rows and columns of a crop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdpose.assemble.data import Split, evaluation_data
from sdpose.config.settings import Settings
from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.crop import Picture, cut_crop
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.loader import EvalLoader
from sdpose.data.persons import PersonTable
from sdpose.data.synthetic import make_dataset
from sdpose.errors import SdposeError
from sdpose.evaluation.results import Suppression
from sdpose.geometry import affine_matrix, box_to_center_scale
from sdpose.predict.box_file import BoxFile
from sdpose.predict.media import find_media, read_image
from sdpose.skeleton import COCO17
from sdpose.trained_model import TrainedModel

# Neither the seed of the people that the shipped weights have learnt from nor the demo's.
_DRAWN_SEED = 1187


@dataclass(frozen=True)
class People:
    """Persons of an annotated set, and the rules by which poses in it become results."""

    table: CocoKeypoints
    persons: PersonTable
    dataset: PoseDataset
    description: str
    vis_thr: float = 0.2
    oks_thr: float = 0.9
    nms: Suppression = "oks"

    def batches(self, batch_size: int) -> EvalLoader:
        """Each person once, uint8 crops."""
        return EvalLoader(self.dataset, batch_size, num_workers=0)

    @property
    def image_ids(self) -> list[int]:
        """The images that are looked at."""
        return self.table.image_ids[np.unique(self.persons.image_index)].tolist()


def people_of_config(
    settings: Settings, trained: TrainedModel, *, split: Split = "val", num_images: int | None = None
) -> People:
    """A split of a config with the boxes that its protocol asks for; the first `num_images` images of it.

    Raises SdposeError when the network has other joints or other crops than the config.
    """
    data = evaluation_data(settings, split)
    rules = getattr(settings.data, split).data_cfg
    if data.table.skeleton.keypoints != trained.skeleton.keypoints:
        raise SdposeError(
            f"the data set has the joints of '{data.table.skeleton.name}', the network those of "
            f"'{trained.skeleton.name}'; name a config with the network's joints"
        )
    persons = _first_images(data.persons, num_images)
    nms: Suppression = ("soft" if rules.soft_nms else "oks") if rules.use_nms else None
    return People(
        data.table,
        persons,
        _dataset(data.table, persons, trained),
        f"{len(persons)} boxes of {data.table.ann_file} ({data.boxes_from})",
        vis_thr=rules.vis_thr,
        oks_thr=rules.oks_thr,
        nms=nms,
    )


def drawn_people(folder: Path, trained: TrainedModel, *, num_images: int, part: Split = "val") -> People:
    """People drawn for this purpose into `folder`; 'train' are others than 'val'."""
    if trained.skeleton.keypoints != COCO17.keypoints:
        raise SdposeError(
            f"drawn people have COCO's joints, the network has those of '{trained.skeleton.name}'; "
            "name the data to measure on: --data CONFIG"
        )
    make_dataset(
        folder, num_train_images=num_images, num_val_images=num_images, seed=_DRAWN_SEED, num_workers=0
    )
    table = load_coco(
        folder / "annotations" / f"person_keypoints_{part}2017.json", folder / f"{part}2017", trained.skeleton
    )
    persons = table.ground_truth_persons()
    return People(
        table,
        persons,
        _dataset(table, persons, trained),
        f"{len(persons)} drawn people in {num_images} images that no weights have learnt from",
    )


def crops_of_people(people: People, num_crops: int) -> Tensor:
    """Crops (N, H, W, 3) uint8 RGB, spread over the set."""
    rows = np.linspace(0, len(people.persons) - 1, min(num_crops, len(people.persons))).astype(np.int64)
    batch = people.dataset.__getitems__([SampleKey(0, int(row)) for row in rows])
    readable = [problem is None for problem in batch.problems]
    return batch.images[torch.tensor(readable)]


def crops_of_folder(folder: Path, boxes: Path, trained: TrainedModel, num_crops: int) -> Tensor:
    """Crops (N, H, W, 3) uint8 RGB of the boxes that a JSON file has for the images of a folder."""
    box_file = BoxFile(boxes)
    found = list(_cut_all(folder, box_file, trained, num_crops))
    if not found:
        raise SdposeError(f"{boxes} has no box for any image of {folder}; calibration needs some persons")
    return torch.from_numpy(np.stack(found))


def _cut_all(folder: Path, boxes: BoxFile, trained: TrainedModel, num_crops: int) -> Iterator[np.ndarray]:
    num_left = num_crops
    width, height = trained.image_size_wh
    images = [medium for medium in find_media([str(folder)]) if medium.kind == "image"]
    names = boxes.assign(images)
    for medium in images:
        if medium.name not in names:
            continue
        rows = boxes.boxes_of(names[medium.name])
        image = read_image(medium.path)
        centers, scales = box_to_center_scale(
            rows[:num_left, :4], aspect_ratio=width / height, padding=trained.padding
        )
        for center, scale in zip(centers, scales, strict=True):
            crop = np.empty((height, width, 3), np.uint8)
            cut_crop(Picture.whole(image), affine_matrix(center, scale, 0.0, (width, height)), crop)
            yield crop
        num_left -= len(centers)
        if num_left <= 0:
            return


def _dataset(table: CocoKeypoints, persons: PersonTable, trained: TrainedModel) -> PoseDataset:
    return PoseDataset(
        table, persons, image_size_wh=trained.image_size_wh, augmentation=None, padding=trained.padding
    )


def _first_images(persons: PersonTable, num_images: int | None) -> PersonTable:
    if num_images is None:
        return persons
    rows: Sequence[int] = np.unique(persons.image_index)[:num_images].tolist()
    return persons.in_images(rows)
