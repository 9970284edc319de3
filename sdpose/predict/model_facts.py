"""What a deployed file says about itself, so that it can be used without the checkpoint and the config it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from sdpose.errors import SdposeError
from sdpose.heatmaps.decode import PostProcess
from sdpose.models.normalize import ImageNormalizer
from sdpose.skeleton import Skeleton
from sdpose.trained_model import TrainedModel

KEY = "sdpose"
"""The entry of the file's metadata under which the facts stand, as JSON."""
_FORMAT = 1

Takes = Literal["normalised", "crops"]
Gives = Literal["heatmaps", "joints"]


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """How the crops of a file are cut and what its outputs mean.

    `takes`: 'crops' are (N, H, W, 3) uint8 RGB, 'normalised' are (N, 3, H, W) float32 RGB, (image / 255 - mean) / std.
    `gives`: 'heatmaps' are (N, K, h, w); 'joints' are joints_cells and joints_px (N, K, 2) and scores (N, K).
    `flip_inside`: the file averages over the crop and its mirror image by itself.
    """

    takes: Takes
    gives: Gives
    flip_inside: bool
    skeleton: Skeleton
    image_size_wh: tuple[int, int]
    heatmap_size_wh: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: float
    flip_test: bool
    shift_heatmap: bool
    post_process: PostProcess
    kernel: int
    name: str
    source: str
    numbers: Literal["float32", "int8"] = "float32"

    @classmethod
    def of(cls, trained: TrainedModel, *, takes: Takes, gives: Gives, flip_inside: bool) -> ModelFacts:
        """Those of a network that is about to be written."""
        return cls(
            takes=takes,
            gives=gives,
            flip_inside=flip_inside,
            skeleton=trained.skeleton,
            image_size_wh=trained.image_size_wh,
            heatmap_size_wh=trained.heatmap_size_wh,
            mean=tuple(trained.normalize.mean.flatten().tolist()),
            std=tuple(trained.normalize.std.flatten().tolist()),
            padding=trained.padding,
            flip_test=trained.flip_test,
            shift_heatmap=trained.shift_heatmap,
            post_process=trained.post_process,
            kernel=trained.kernel,
            name=trained.name,
            source=trained.source,
        )

    def trained(self, model: nn.Module) -> TrainedModel:
        """The facts as they stand beside a network of ours. `model`: normalised images -> heatmaps."""
        return TrainedModel(
            model=model,
            normalize=ImageNormalizer(self.mean, self.std),
            skeleton=self.skeleton,
            image_size_wh=self.image_size_wh,
            heatmap_size_wh=self.heatmap_size_wh,
            padding=self.padding,
            flip_test=self.flip_inside if self.gives == "joints" else self.flip_test,
            shift_heatmap=self.shift_heatmap,
            post_process=self.post_process,
            kernel=self.kernel,
            name=self.name,
            source=self.source,
        )

    def to_json(self) -> str:
        """For the file's metadata."""
        return json.dumps({"format": _FORMAT, **asdict(self)})

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, path: object) -> ModelFacts:
        """Raises SdposeError for a file that `sdpose export` did not write, or a newer one did."""
        if KEY not in metadata:
            raise SdposeError(
                f"{path} was not written by `sdpose export`: its metadata has no '{KEY}' (it has: "
                f"{', '.join(sorted(metadata)) or 'nothing'}); export the checkpoint with `sdpose export WEIGHTS`"
            )
        try:
            content: dict[str, Any] = json.loads(metadata[KEY])
            written_as = content.pop("format")
            if written_as != _FORMAT:
                raise SdposeError(
                    f"{path} has metadata of format {written_as}, this version reads {_FORMAT}; export it again"
                )
            content = {name: _as_tuples(value) for name, value in content.items()}
            content["skeleton"] = Skeleton(
                **{name: _as_tuples(value) for name, value in content["skeleton"].items()}
            )
            return cls(**content)
        except (ValueError, TypeError, KeyError) as error:
            raise SdposeError(f"{path}: its metadata is damaged ({error}); export it again") from error


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value
