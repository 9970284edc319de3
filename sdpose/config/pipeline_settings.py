"""`pipeline`: the steps from an image to a training sample, read into the numbers they set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationInfo, model_validator

from sdpose.config.section import Section, problem, reading_of
from sdpose.config.values import (
    AsTuple,
    Channels,
    FinitePair,
    NotNegative,
    NotNegativeFloat,
    PositiveChannels,
    PositiveFloat,
    Probability,
)


class FileClientSettings(Section):
    """Where images come from."""

    backend: Literal["disk"] = "disk"


class LoadImage(Section):
    """Read an image as RGB."""

    type: Literal["LoadImageFromFile"]
    to_float32: Literal[False] = False
    color_type: Literal["color"] = "color"
    channel_order: Literal["rgb"] = "rgb"
    file_client_args: FileClientSettings = FileClientSettings()


class CenterScale(Section):
    """Box to center and scale, `padding` times as large."""

    type: Literal["TopDownGetBboxCenterScale"]
    padding: PositiveFloat = 1.25


class RandomShift(Section):
    """Move the center by up to `shift_factor` of the box, with probability `prob`."""

    type: Literal["TopDownRandomShiftBboxCenter"]
    shift_factor: NotNegativeFloat = 0.16
    prob: Probability = 0.3


class RandomFlip(Section):
    """Mirror with probability `flip_prob`."""

    type: Literal["TopDownRandomFlip"]
    flip_prob: Probability = 0.5


class HalfBody(Section):
    """Crop to upper or lower body when more than `num_joints_half_body` joints are visible."""

    type: Literal["TopDownHalfBodyTransform"]
    num_joints_half_body: NotNegative = 8
    prob_half_body: Probability = 0.3


class ScaleRotation(Section):
    """Scale by a normal factor around 1, rotate by a normal angle (degrees) with probability `rot_prob`."""

    type: Literal["TopDownGetRandomScaleRotation"]
    rot_factor: NotNegativeFloat = 40
    scale_factor: NotNegativeFloat = 0.5
    rot_prob: Probability = 0.6


class Affine(Section):
    """Cut the box out of the image."""

    type: Literal["TopDownAffine"]
    use_udp: Literal[False] = False


class Photometric(Section):
    """Change brightness (grey levels), contrast, saturation (factors), hue (OpenCV's 0-180) at random."""

    type: Literal["PhotometricDistortion"] = "PhotometricDistortion"
    brightness_delta: NotNegativeFloat = 32
    contrast_range: FinitePair = (0.5, 1.5)
    saturation_range: FinitePair = (0.5, 1.5)
    hue_delta: NotNegativeFloat = 18

    @model_validator(mode="after")
    def _check_ranges(self) -> Photometric:
        for name in ("contrast_range", "saturation_range"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise problem(f"got {[low, high]}, expected two factors, the smaller first.", key=name)
        return self


class ToTensor(Section):
    """0..255 to 0..1."""

    type: Literal["ToTensor"]


class Normalize(Section):
    """Subtract `mean`, divide by `std` (RGB, of values in 0..1)."""

    type: Literal["NormalizeTensor"]
    mean: Channels
    std: PositiveChannels


class GenerateTarget(Section):
    """Heatmaps with a Gaussian of `sigma` heatmap cells on each joint."""

    type: Literal["TopDownGenerateTarget"]
    sigma: PositiveFloat = 2
    unbiased_encoding: bool = False
    encoding: Literal["MSRA"] = "MSRA"
    target_type: Literal["GaussianHeatmap", "GaussianHeatMap"] = "GaussianHeatmap"
    without_meaning: ClassVar[Mapping[str, str]] = {
        "kernel": "it belongs to the Megvii encoding",
        "valid_radius_factor": "it belongs to the UDP encoding",
    }


class Collect(Section):
    """What the original hands to the model; fixed here."""

    type: Literal["Collect"]
    without_meaning: ClassVar[Mapping[str, str]] = {
        "keys": "what reaches the model is fixed",
        "meta_keys": "what goes along with a sample is fixed",
        "meta_name": "what goes along with a sample is fixed",
    }


Step = Annotated[
    LoadImage
    | CenterScale
    | RandomShift
    | RandomFlip
    | HalfBody
    | ScaleRotation
    | Affine
    | Photometric
    | ToTensor
    | Normalize
    | GenerateTarget
    | Collect,
    Field(discriminator="type"),
]
StepType = TypeVar("StepType", bound=Section)

# The one order in which the steps are carried out, as in the official files.
_ORDER = (
    "LoadImageFromFile",
    "TopDownGetBboxCenterScale",
    "TopDownRandomShiftBboxCenter",
    "TopDownRandomFlip",
    "TopDownHalfBodyTransform",
    "TopDownGetRandomScaleRotation",
    "TopDownAffine",
    "ToTensor",
    "NormalizeTensor",
    "TopDownGenerateTarget",
    "Collect",
)
_NEEDED = ("LoadImageFromFile", "TopDownAffine", "ToTensor", "NormalizeTensor")
_RANDOM = (
    "TopDownRandomShiftBboxCenter",
    "TopDownRandomFlip",
    "TopDownHalfBodyTransform",
    "TopDownGetRandomScaleRotation",
    "PhotometricDistortion",
)


class PipelineSettings(Section):
    """The steps of one pipeline and the numbers they set; a step that is left out sets its probability to 0.

    The order is that of the official files. `PhotometricDistortion` may stand anywhere before `ToTensor` and
    changes the crop.
    """

    steps: Annotated[tuple[Step, ...], AsTuple]

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"steps": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _check_order(self, info: ValidationInfo) -> PipelineSettings:
        names = [str(step.type) for step in self.steps]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise problem(
                    f"{name} stands here for the second time; each step is carried out once.", key=position
                )
        ordered = [name for name in names if name in _ORDER]
        for name, expected in zip(ordered, sorted(ordered, key=_ORDER.index), strict=True):
            if name != expected:
                text = f"{name} stands where {expected} belongs; the order is fixed: {', '.join(_ORDER)}."
                raise problem(text, key=names.index(name))
        for needed in _NEEDED:
            if needed not in names:
                raise problem(f"the step {needed} is missing.")
        if "PhotometricDistortion" in names:
            position = names.index("PhotometricDistortion")
            if position > names.index("ToTensor"):
                raise problem("PhotometricDistortion works on 0..255; put it before ToTensor.", key=position)
            if position < names.index("TopDownAffine"):
                text = "PhotometricDistortion changes the crop, after TopDownAffine, wherever the pipeline names it."
                reading_of(info).note("PhotometricDistortion", text)
        return self

    @property
    def random_steps(self) -> list[str]:
        """The steps that change a sample at random, in order."""
        return [step.type for step in self.steps if step.type in _RANDOM]

    @property
    def padding(self) -> float:
        """How much larger than the box the crop is."""
        step = _find(self.steps, CenterScale)
        return step.padding if step else 1.25

    @property
    def shift_factor(self) -> float:
        """Greatest shift, in box sizes."""
        step = _find(self.steps, RandomShift)
        return step.shift_factor if step else 0.0

    @property
    def shift_prob(self) -> float:
        """Probability of a shift."""
        step = _find(self.steps, RandomShift)
        return step.prob if step else 0.0

    @property
    def flip_prob(self) -> float:
        """Probability of mirroring."""
        step = _find(self.steps, RandomFlip)
        return step.flip_prob if step else 0.0

    @property
    def half_body_num_joints(self) -> int:
        """Half bodies are taken when more joints than this are visible."""
        step = _find(self.steps, HalfBody)
        return step.num_joints_half_body if step else 8

    @property
    def half_body_prob(self) -> float:
        """Probability of a half body."""
        step = _find(self.steps, HalfBody)
        return step.prob_half_body if step else 0.0

    @property
    def rot_factor(self) -> float:
        """Standard deviation of the rotation, in degrees."""
        step = _find(self.steps, ScaleRotation)
        return step.rot_factor if step else 0.0

    @property
    def scale_factor(self) -> float:
        """Standard deviation and bound of the scale."""
        step = _find(self.steps, ScaleRotation)
        return step.scale_factor if step else 0.0

    @property
    def rot_prob(self) -> float:
        """Probability of a rotation."""
        step = _find(self.steps, ScaleRotation)
        return step.rot_prob if step else 0.0

    @property
    def photometric(self) -> Photometric | None:
        """Colour changes, or None."""
        return _find(self.steps, Photometric)

    @property
    def sigma(self) -> float:
        """Standard deviation of the target, in heatmap cells."""
        step = _find(self.steps, GenerateTarget)
        return step.sigma if step else 2.0

    @property
    def unbiased_encoding(self) -> bool:
        """Whether the target's peak may lie between two cells."""
        step = _find(self.steps, GenerateTarget)
        return step.unbiased_encoding if step else False

    @property
    def mean(self) -> tuple[float, float, float]:
        """RGB mean of values in 0..1."""
        step = _find(self.steps, Normalize)
        assert step is not None  # _check_order
        return step.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """RGB standard deviation of values in 0..1."""
        step = _find(self.steps, Normalize)
        assert step is not None  # _check_order
        return step.std


def _find(steps: Sequence[Section], kind: type[StepType]) -> StepType | None:
    return next((step for step in steps if isinstance(step, kind)), None)
