"""A trained network as a function: images and boxes in, poses out.

Legend: P persons, N crops of a batch, K joints, H, W rows and columns of a crop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sdpose.assemble.machine import Machine, has_bf16
from sdpose.data.crop import Picture, cut_crop
from sdpose.errors import SdposeError
from sdpose.geometry import affine_matrix, are_boxes, box_to_center_scale, heatmap_to_image
from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.poses import Poses
from sdpose.trained_model import TrainedModel, load_trained_model
from sdpose.training.distributed import require_gpu

Image = NDArray[np.uint8]
Precision = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_MAX_PIXELS_WAITING = 2**26


class Network(Protocol):
    """Crops (N, H, W, 3) uint8 RGB -> heatmaps (N, K, h, w) float32."""

    def __call__(self, crops: Tensor) -> Tensor: ...


class Predictor:
    """`Predictor("latest.pth")(image, boxes)` -> Poses.

    An image is (H, W, 3) uint8 BGR, as cv2 reads it. Boxes are (P, 4) left, top, width, height in its pixels, or
    (P, 5) with the detector's score; without boxes the whole image is one person's.
    """

    def __init__(
        self,
        weights: Path | str | TrainedModel,
        *,
        config: Path | str | None = None,
        device: torch.device | str | None = None,
        flip_test: bool | None = None,
        batch_size: int = 32,
        precision: Precision = "fp32",
        network: Network | None = None,
    ) -> None:
        """`weights`: a checkpoint, or a file that `sdpose export` wrote. `flip_test` None does as the model's config
        says. `precision` bf16 is for checkpoints: faster where the hardware has it (`machine.imitates_bf16` says so
        of a CPU), joints move by a fraction of a pixel. `network` replaces the torch model of `weights`."""
        if batch_size < 1:
            raise SdposeError(f"batch_size={batch_size}; expected at least 1")
        self.device = _usable(device)
        self.machine = _machine(self.device, precision)
        if not isinstance(weights, TrainedModel) and Path(weights).suffix.lower() == ".onnx":
            if config is not None:
                raise SdposeError(
                    f"{weights} says by itself what it is, so the config {config} would not be obeyed; leave it away"
                )
            network = OnnxNetwork(weights, on_gpu=self.device.type == "cuda")
            trained = network.trained
        else:
            trained = (
                weights if isinstance(weights, TrainedModel) else load_trained_model(weights, config=config)
            )
        self.trained = trained
        self.flip_test = trained.flip_test if flip_test is None else flip_test
        self.batch_size = batch_size
        if network is not None and precision != "fp32":
            raise SdposeError(
                f"precision={precision!r} is for checkpoints; {getattr(network, 'path', 'this network')} computes in "
                "the numbers that it was exported with; leave precision out, or give the checkpoint"
            )
        self._network = network or torch_network(trained, self.device, self.machine)
        self._find: Callable[[Tensor], tuple[Tensor, Tensor]] = partial(
            find_joints, self._network, trained=trained, flip_test=self.flip_test
        )
        if isinstance(network, OnnxNetwork) and network.facts.gives == "joints":
            if self.flip_test != network.facts.flip_inside:
                raise SdposeError(
                    f"{network.path} has its flip test {'inside' if network.facts.flip_inside else 'left out'} and "
                    "gives joints, so it cannot be changed here; export it anew, with or without --with-flip-test"
                )
            self._find = network.joints

    def __call__(self, image: Image, boxes: ArrayLike | None = None) -> Poses:
        """Poses of the persons in one image, in the order of their boxes."""
        return next(self.stream([(image, boxes)]))

    def stream(self, images: Iterable[tuple[Image, ArrayLike | None]]) -> Iterator[Poses]:
        """Poses of many images, in their order; crops of several images share a batch.

        A caller that keeps an image until its poses come never keeps more than some hundred megabytes. No more crops
        are kept than a batch has, however many persons an image has.
        """
        waiting: deque[_Waiting] = deque()
        crops: list[Image] = []
        joints = self._joints([])
        for image, boxes in images:
            entry = self._prepare(image, boxes)
            waiting.append(entry)
            for center, scale in zip(entry.centers, entry.scales, strict=True):
                crops.append(self._cut(image, center, scale))
                if len(crops) == self.batch_size:
                    joints = np.concatenate([joints, self._joints(crops)])
                    crops.clear()
            num_pixels = sum(each.num_pixels for each in waiting)
            if len(waiting) >= self.batch_size or num_pixels >= _MAX_PIXELS_WAITING:
                joints = np.concatenate([joints, self._joints(crops)])
                crops.clear()
            while waiting and len(waiting[0]) <= len(joints):
                entry = waiting.popleft()
                yield self._poses(entry, joints[: len(entry)])
                joints = joints[len(entry) :]
        joints = np.concatenate([joints, self._joints(crops)])
        for entry in waiting:
            yield self._poses(entry, joints[: len(entry)])
            joints = joints[len(entry) :]

    def _prepare(self, image: Image, boxes: ArrayLike | None) -> _Waiting:
        _check_image(image)
        boxes_xywh, scores = _as_boxes(boxes, image)
        width, height = self.trained.image_size_wh
        centers, scales = box_to_center_scale(
            boxes_xywh, aspect_ratio=width / height, padding=self.trained.padding
        )
        return _Waiting(
            boxes_xywh.astype(np.float32),
            scores.astype(np.float32),
            centers,
            scales,
            image.shape[0] * image.shape[1],
        )

    def _cut(self, image: Image, center: NDArray[np.float32], scale: NDArray[np.float32]) -> Image:
        width, height = self.trained.image_size_wh
        crop = np.empty((height, width, 3), np.uint8)
        cut_crop(Picture.whole(image), affine_matrix(center, scale, 0.0, (width, height)), crop)
        return crop

    @torch.inference_mode()
    def _joints(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """(P, K, 3) x, y in heatmap cells and score of one batch of crops."""
        if not crops:
            return np.zeros((0, self.trained.skeleton.num_keypoints, 3), np.float32)
        coords, scores = self._find(torch.from_numpy(np.stack(crops)).to(self.device))
        joints: NDArray[np.float32] = torch.cat([coords, scores[..., None]], dim=2).cpu().numpy()
        return joints

    def _poses(self, entry: _Waiting, joints: NDArray[np.float32]) -> Poses:
        return Poses(
            keypoints=heatmap_to_image(
                joints[..., :2], entry.centers, entry.scales, self.trained.heatmap_size_wh
            ),
            scores=joints[..., 2],
            boxes_xywh=entry.boxes_xywh,
            box_scores=entry.box_scores,
            skeleton=self.trained.skeleton,
        )


def find_joints(
    network: Network, crops: Tensor, *, trained: TrainedModel, flip_test: bool
) -> tuple[Tensor, Tensor]:
    """Crops (N, H, W, 3) uint8 RGB -> joints in heatmap cells (N, K, 2) and scores (N, K)."""
    heatmaps = network(torch.cat([crops, crops.flip(2)]) if flip_test else crops).float()
    if flip_test:
        plain, turned = heatmaps.chunk(2)
        mirrored = flip_heatmaps(turned, trained.skeleton.flip_index, shift=trained.shift_heatmap)
        heatmaps = (plain + mirrored) * 0.5
    return decode_heatmaps(heatmaps, post_process=trained.post_process, kernel=trained.kernel)


def torch_network(trained: TrainedModel, device: torch.device, machine: Machine | None = None) -> Network:
    """The torch model itself, on a device; float32 unless `machine` says otherwise."""
    machine = machine or Machine(device, bf16=False, channels_last=True)
    model, normalize = machine.place(trained.model), trained.normalize.to(device)

    def forward(crops: Tensor) -> Tensor:
        with machine.autocast():
            heatmaps: Tensor = model(normalize(crops))
        return heatmaps.float()

    return forward


def _usable(device: torch.device | str | None) -> torch.device:
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise SdposeError(f"device is {device!r}; expected 'cpu', 'cuda' or 'cuda:1'") from error
    if found.type == "cuda":
        require_gpu(found)
    return found


def _machine(device: torch.device, precision: Precision) -> Machine:
    if precision not in PRECISIONS:
        raise SdposeError(f"precision={precision!r}; expected {' or '.join(PRECISIONS)}")
    if precision == "bf16" and not has_bf16(device):
        raise SdposeError(f"precision='bf16' is what {device} cannot do; take fp32")
    return Machine(device, bf16=precision == "bf16", channels_last=True)


@dataclass(frozen=True)
class _Waiting:
    """An image whose crops are in the batch under way."""

    boxes_xywh: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    centers: NDArray[np.float32]
    scales: NDArray[np.float32]
    num_pixels: int

    def __len__(self) -> int:
        return len(self.boxes_xywh)


def _check_image(image: Image) -> None:
    if not isinstance(image, np.ndarray):
        raise SdposeError(
            "an image is None; cv2.imread gives that for a file that is not there or that it cannot decode"
            if image is None
            else f"an image is a {type(image).__name__}; expected an array (H, W, 3) uint8, as cv2.imread gives it"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise SdposeError(
            f"an image is {image.shape} {image.dtype}; expected (H, W, 3) uint8 in cv2's BGR order"
        )


def _as_boxes(boxes: ArrayLike | None, image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = image.shape[:2]
    if boxes is None:
        boxes = [[0, 0, width, height]]
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SdposeError(
            f"boxes are no table of numbers ({error}); expected rows of four or five"
        ) from error
    if array.size == 0:
        return np.zeros((0, 4)), np.zeros(0)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise SdposeError(
            f"boxes have the shape {array.shape}; expected (P, 4) as left, top, width, height, or (P, 5) with a score"
        )
    usable = are_boxes(array)
    if not usable.all():
        row = int(usable.argmin())
        raise SdposeError(
            f"box {row} is {array[row, :4].tolist()}; expected finite numbers with a width and a height above 0"
        )
    scores = array[:, 4] if array.shape[1] == 5 else np.ones(len(array))
    return np.ascontiguousarray(array[:, :4]), scores
