"""Settings that have to fit each other: sizes of images and heatmaps, numbers of joints and channels."""

from __future__ import annotations

from collections.abc import Iterator

from sdpose.config.data_settings import DatasetSettings, DataSettings
from sdpose.config.model_settings import ModelSettings
from sdpose.config.places import SourceDict
from sdpose.config.problems import line_for
from sdpose.errors import SdposeError

_STRIDE = 4  # of both backbones
_KEYPOINTS = {"TopDownCocoDataset": 17, "TopDownCrowdPoseDataset": 14}

Contradiction = tuple[tuple[str, ...], str]


def check_consistency(model: ModelSettings, data: DataSettings, raw: SourceDict) -> None:
    """Raises SdposeError with a line for each pair of settings that contradict each other."""
    found = [*_in_model(model), *_in_normalisation(data)]
    for split in ("train", "val", "test"):
        found += _in_dataset(model, getattr(data, split), split)
    if found:
        raise SdposeError("\n".join(line_for(raw, location, text) for location, text in found))


def _in_model(model: ModelSettings) -> Iterator[Contradiction]:
    head, backbone = model.keypoint_head, model.backbone
    if head.in_channels != backbone.out_channels:
        yield (
            ("model", "keypoint_head", "in_channels"),
            f"got {head.in_channels}, but {backbone.type} gives {backbone.out_channels} channels.",
        )


def _in_dataset(model: ModelSettings, dataset: DatasetSettings, split: str) -> Iterator[Contradiction]:
    head, sizes = model.keypoint_head, dataset.data_cfg
    token = head.tokenpose_cfg
    where = ("data", split, "data_cfg")
    if sizes.num_joints != head.num_joints:
        yield (
            (*where, "num_joints"),
            f"got {sizes.num_joints}, but the model's head has num_joints={head.num_joints}.",
        )
    if dataset.dataset_info is None:
        count, source = _KEYPOINTS[dataset.type], str(dataset.type)
    else:
        count, source = len(dataset.dataset_info["keypoint_info"]), "dataset_info"
    if sizes.num_joints != count:
        yield (*where, "num_joints"), f"got {sizes.num_joints}, but {source} has {count} keypoints."
    width, height = sizes.image_size
    if (height, width) != tuple(_STRIDE * size for size in token.feature_size):
        yield (
            (*where, "image_size"),
            f"images of (width, height) {[width, height]} give a feature map of (rows, columns) "
            f"{[height / _STRIDE, width / _STRIDE]}, but tokenpose_cfg says "
            f"feature_size={list(token.feature_size)}.",
        )
    columns, rows = sizes.heatmap_size
    if (rows, columns) != token.heatmap_size:
        yield (
            (*where, "heatmap_size"),
            f"(width, height) {[columns, rows]} is not the heatmap_size (rows, columns) "
            f"{list(token.heatmap_size)} of tokenpose_cfg.",
        )
    if split == "train":
        if not any(step.type == "TopDownGenerateTarget" for step in dataset.pipeline.steps):
            yield ("data", split, "pipeline"), "the step TopDownGenerateTarget is missing."
    elif not sizes.use_gt_bbox and not sizes.bbox_file:
        yield (
            (*where, "bbox_file"),
            "is missing: name the file with the detected boxes, or set use_gt_bbox=True to evaluate on the "
            "annotated ones.",
        )


def _in_normalisation(data: DataSettings) -> Iterator[Contradiction]:
    expected = (data.train.pipeline.mean, data.train.pipeline.std)
    for split in ("val", "test"):
        pipeline = getattr(data, split).pipeline
        if (pipeline.mean, pipeline.std) != expected:
            yield ("data", split, "pipeline"), "normalises images differently from the pipeline of train."
