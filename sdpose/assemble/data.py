"""Data sets and loaders from `settings.data`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from sdpose.config.data_settings import DatasetSettings
from sdpose.config.pipeline_settings import PipelineSettings
from sdpose.config.settings import Settings
from sdpose.data.augment import Augmentation, PhotometricDistortion
from sdpose.data.coco import CocoKeypoints, load_coco
from sdpose.data.dataset import PoseDataset
from sdpose.data.loader import EvalLoader, PoseBatch, TrainLoader
from sdpose.data.pack import Contents
from sdpose.data.persons import PersonTable
from sdpose.errors import SdposeError
from sdpose.heatmaps import encode_heatmaps
from sdpose.skeleton import COCO17, CROWDPOSE14, Skeleton
from sdpose.training.distributed import World

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class EvaluationData:
    """One split as it is evaluated: its images, the boxes to look into, and their crops."""

    table: CocoKeypoints
    persons: PersonTable
    dataset: PoseDataset
    boxes_from: str
    """For the user: where the boxes come from."""


def skeleton_of(dataset: DatasetSettings) -> Skeleton:
    """The joints a data set has: its `dataset_info`, or those of its type."""
    if dataset.dataset_info is not None:
        return Skeleton.from_dataset_info(dataset.dataset_info)
    return CROWDPOSE14 if dataset.type == "TopDownCrowdPoseDataset" else COCO17


def augmentation_of(pipeline: PipelineSettings) -> Augmentation:
    """The random changes of a training pipeline."""
    colours = pipeline.photometric
    return Augmentation(
        shift_factor=pipeline.shift_factor,
        shift_prob=pipeline.shift_prob,
        flip_prob=pipeline.flip_prob,
        half_body_num_joints=pipeline.half_body_num_joints,
        half_body_prob=pipeline.half_body_prob,
        rot_factor=pipeline.rot_factor,
        scale_factor=pipeline.scale_factor,
        rot_prob=pipeline.rot_prob,
        photometric=None
        if colours is None
        else PhotometricDistortion(
            brightness_delta=colours.brightness_delta,
            contrast_range=colours.contrast_range,
            saturation_range=colours.saturation_range,
            hue_delta=int(colours.hue_delta),
        ),
    )


def training_data(settings: Settings, *, seed: int) -> PoseDataset:
    """The annotated persons of the training split, augmented. Raises SdposeError for files that do not fit."""
    split = settings.data.train
    table = load_coco(split.ann_file, split.img_prefix, skeleton_of(split))
    return PoseDataset(
        table,
        table.ground_truth_persons(),
        image_size_wh=split.data_cfg.image_size,
        augmentation=augmentation_of(split.pipeline),
        padding=split.pipeline.padding,
        seed=seed,
        pack=split.pack,
    )


def evaluation_data(settings: Settings, split: Split) -> EvaluationData:
    """A split with the boxes that the protocol asks for: detected ones, or the annotated with `use_gt_bbox`."""
    chosen: DatasetSettings = getattr(settings.data, split)
    rules = chosen.data_cfg
    table = load_coco(chosen.ann_file, chosen.img_prefix, skeleton_of(chosen))
    if rules.use_gt_bbox:
        persons, boxes_from = table.ground_truth_persons(), "annotated boxes"
    elif rules.bbox_file is None:
        raise SdposeError(
            f"data.{split}.data_cfg names no bbox_file; give one, or evaluate on annotated boxes: "
            f"--cfg-options data.{split}.data_cfg.use_gt_bbox=True"
        )
    else:
        persons, boxes_from = (
            table.detected_persons(rules.bbox_file, rules.det_bbox_thr),
            str(rules.bbox_file),
        )
    dataset = PoseDataset(
        table,
        persons,
        image_size_wh=rules.image_size,
        augmentation=None,
        padding=chosen.pipeline.padding,
        pack=chosen.pack,
    )
    return EvaluationData(table, persons, dataset, boxes_from)


def pack_contents(settings: Settings, split: Split) -> Contents:
    """What a pack of this split has to hold: every crop that a training or an evaluation can ask for."""
    chosen: DatasetSettings = getattr(settings.data, split)
    images = chosen.model_copy(update={"pack": None})
    unpacked = settings.model_copy(update={"data": settings.data.model_copy(update={split: images})})
    dataset = (
        training_data(unpacked, seed=0) if split == "train" else evaluation_data(unpacked, split).dataset
    )
    return dataset.contents(chosen.pipeline.padding)


def training_loader(settings: Settings, dataset: PoseDataset, world: World, *, seed: int) -> EpochBatches:
    """Shuffled batches of this rank's share."""
    loader = TrainLoader(
        dataset,
        settings.data.train_samples_per_gpu,
        num_workers=settings.data.train_workers_per_gpu,
        seed=seed,
        rank=world.rank,
        world_size=world.size,
        pin_memory=world.device.type == "cuda",
    )
    return EpochBatches(loader, settings.runtime.limit_train_batches)


def evaluation_loader(settings: Settings, dataset: PoseDataset, split: Split, world: World) -> EvalLoader:
    """Batches of this rank's share, in the order of the images."""
    data = settings.data
    batch_size = data.test_samples_per_gpu if split == "test" else data.val_samples_per_gpu
    num_workers = data.test_workers_per_gpu if split == "test" else data.val_workers_per_gpu
    return EvalLoader(
        dataset,
        batch_size,
        num_workers=num_workers,
        rank=world.rank,
        world_size=world.size,
        # From other memory a copy to the device waits for everything queued before it.
        pin_memory=world.device.type == "cuda",
    )


class EpochBatches:
    """A training loader whose epochs may be cut short (`runtime.limit_train_batches`)."""

    def __init__(self, loader: TrainLoader, limit: int | None) -> None:
        self.loader = loader
        self.limit = limit

    def __len__(self) -> int:
        return len(self.loader) if self.limit is None else min(len(self.loader), self.limit)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[PoseBatch]:
        """Batches `start_batch` .. of an epoch (0-based)."""
        return islice(self.loader.batches(epoch, start_batch), len(self) - start_batch)

    def close(self) -> None:
        """End the worker processes."""
        self.loader.close()


def training_targets(settings: Settings, batch: PoseBatch) -> tuple[Tensor, Tensor]:
    """Heatmaps (N, K, H, W) and weights (N, K, 1) of a batch, on its device, as the training pipeline asks for them."""
    rules, pipeline = settings.data.train.data_cfg, settings.data.train.pipeline
    return encode_heatmaps(
        batch.joints,
        batch.visible,
        image_size_wh=rules.image_size,
        heatmap_size_wh=rules.heatmap_size,
        sigma=pipeline.sigma,
        unbiased=pipeline.unbiased_encoding,
    )


def to_device(batch: PoseBatch, device: torch.device) -> PoseBatch:
    """The batch on the device. On CUDA it is copied beside the work of the batch before, and nothing here waits."""
    if device.type != "cuda":
        return batch.to(device)
    copying, computing = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(copying):
        moved = batch.to(device, non_blocking=True)
    computing.wait_stream(copying)
    for tensor in vars(moved).values():
        if isinstance(tensor, Tensor):
            # Its memory is given out again only after the computation that reads it.
            tensor.record_stream(computing)
    return moved


@lru_cache(maxsize=16)
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream a device, kept: memory is reused within a stream."""
    return torch.cuda.Stream(device)
