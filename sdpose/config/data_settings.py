"""`data`: batches, data sets, and what is evaluated on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ValidationInfo, model_validator

from sdpose.config.pipeline_settings import PipelineSettings
from sdpose.config.places import SourceDict, plain, without
from sdpose.config.section import Section, problem, reading_of
from sdpose.config.values import (
    Finite,
    LocalPath,
    NotNegative,
    NotNegativeFloat,
    Positive,
    PositiveFloat,
    PositivePair,
)

_ONE_SET = "each data set has one group of keypoints here"


def _dataset_info(value: Any) -> Any:
    """Only what other settings are compared with; `Skeleton.from_dataset_info` checks the rest."""
    if isinstance(value, dict) and not (
        isinstance(value.get("keypoint_info"), dict) and value["keypoint_info"]
    ):
        raise problem(
            "expected the keypoints by number, as in {0: dict(name='nose', ...)}.", key="keypoint_info"
        )
    return plain(value)


class DataCfg(Section):
    """Sizes are (width, height). Defaults are the published ones."""

    image_size: PositivePair = (192, 256)
    heatmap_size: PositivePair = (48, 64)
    num_joints: Positive
    num_output_channels: Positive | None = None
    soft_nms: bool = False
    use_nms: bool = True
    oks_thr: PositiveFloat = 0.9
    vis_thr: NotNegativeFloat = 0.2
    use_gt_bbox: bool = False
    det_bbox_thr: Finite = 0.0
    bbox_file: LocalPath | None = None
    use_different_joint_weights: Literal[False] = False
    without_meaning: ClassVar[Mapping[str, str]] = {
        "nms_thr": "the original never uses it; poses are compared by OKS (oks_thr)",
    }
    refused: ClassVar[Mapping[str, str]] = {"image_thr": "it is the old name of det_bbox_thr; write that"}

    @model_validator(mode="before")
    @classmethod
    def _check_channels(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        joints = value.get("num_joints")
        identity = list(range(joints)) if isinstance(joints, int) else None
        channels = {"inference_channel": identity, "dataset_channel": [identity]}
        for key, expected in channels.items():
            if key in value and _as_lists(value[key]) not in (expected, [expected]):
                raise problem(
                    f"cannot be obeyed: {_ONE_SET}; expected the channels 0 to {(joints or 1) - 1} in order.",
                    key=key,
                )
            if key in value:
                where = value.place_of(key) if isinstance(value, SourceDict) else ""
                text = f"{key} has no meaning here: {_ONE_SET}, and it names them all."
                reading_of(info).note(f"DataCfg.{key}", text, where)
        if value.get("num_output_channels", joints) != joints:
            raise problem(
                f"got {value['num_output_channels']}, expected num_joints={joints}.",
                key="num_output_channels",
            )
        return without(value, *channels)


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value


class DatasetSettings(Section):
    """One split: annotations, images, and how samples are made of them.

    `pack` is a folder that `sdpose data pack` made of the images: the same samples, without decoding photographs.
    """

    type: Literal["TopDownCocoDataset", "TopDownCrowdPoseDataset"]
    ann_file: LocalPath
    img_prefix: LocalPath
    data_cfg: DataCfg
    pipeline: PipelineSettings
    dataset_info: Annotated[dict[str, Any], BeforeValidator(_dataset_info)] | None = None
    test_mode: bool | None = None
    pack: LocalPath | None = None


class LoaderSettings(Section):
    """Batch size and workers of one split; what is left out is taken from `data`."""

    samples_per_gpu: Positive | None = None
    workers_per_gpu: NotNegative | None = None
    without_meaning: ClassVar[Mapping[str, str]] = {
        "shuffle": "training is shuffled, evaluation is not",
        "pin_memory": "memory is pinned when there is a GPU",
        "persistent_workers": "workers stay alive",
        "prefetch_factor": "workers read ahead as far as pays",
    }
    refused: ClassVar[Mapping[str, str]] = {
        "drop_last": "every sample is seen once an epoch; remove drop_last"
    }


class DataSettings(Section):
    """Batch sizes are per process (GPU). `samples_per_gpu` is what an out-of-memory error is cured with."""

    samples_per_gpu: Positive
    workers_per_gpu: NotNegative = 2
    train_dataloader: LoaderSettings = LoaderSettings()
    val_dataloader: LoaderSettings = LoaderSettings()
    test_dataloader: LoaderSettings = LoaderSettings()
    train: DatasetSettings
    val: DatasetSettings
    test: DatasetSettings
    without_meaning: ClassVar[Mapping[str, str]] = {
        "persistent_workers": "workers stay alive",
        "pin_memory": "memory is pinned when there is a GPU",
        "shuffle": "training is shuffled, evaluation is not",
    }

    @model_validator(mode="before")
    @classmethod
    def _default_test(cls, value: Any) -> Any:
        if isinstance(value, dict) and "val" in value and "test" not in value:
            return without(value) | {"test": value["val"]}
        return value

    @model_validator(mode="after")
    def _check_random(self) -> DataSettings:
        for name in ("val", "test"):
            random_steps = getattr(self, name).pipeline.random_steps
            if random_steps:
                raise problem(
                    f"the pipeline of {name} changes samples at random ({', '.join(random_steps)}); "
                    "evaluation has to be repeatable.",
                    key=name,
                )
        return self

    @property
    def train_samples_per_gpu(self) -> int:
        """Batch size of training."""
        return self.train_dataloader.samples_per_gpu or self.samples_per_gpu

    @property
    def val_samples_per_gpu(self) -> int:
        """Batch size of the evaluation during training."""
        return self.val_dataloader.samples_per_gpu or self.samples_per_gpu

    @property
    def test_samples_per_gpu(self) -> int:
        """Batch size of testing."""
        return self.test_dataloader.samples_per_gpu or self.samples_per_gpu

    @property
    def train_workers_per_gpu(self) -> int:
        """Worker processes of training."""
        return _first(self.train_dataloader.workers_per_gpu, self.workers_per_gpu)

    @property
    def val_workers_per_gpu(self) -> int:
        """Worker processes of the evaluation during training."""
        return _first(self.val_dataloader.workers_per_gpu, self.workers_per_gpu)

    @property
    def test_workers_per_gpu(self) -> int:
        """Worker processes of testing."""
        return _first(self.test_dataloader.workers_per_gpu, self.workers_per_gpu)


def _first(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
