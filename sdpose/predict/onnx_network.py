"""A file that `sdpose export` wrote, as the predictor takes networks.

Legend: N crops, K joints, H, W rows and columns of a crop, h, w of a heatmap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel


class OnnxNetwork:
    """Crops (N, H, W, 3) uint8 RGB -> heatmaps (N, K, h, w) float32, by ONNX Runtime."""

    def __init__(
        self,
        file: Path | str | bytes,
        *,
        name: str | None = None,
        num_threads: int | None = None,
        on_gpu: bool = False,
    ) -> None:
        """`file` is a path or the content of a file. Raises SdposeError for what `sdpose export` did not write."""
        self.path = name or ("model.onnx" if isinstance(file, bytes) else str(file))
        self._session = _session(file, self.path, num_threads, on_gpu=on_gpu)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.facts = ModelFacts.from_metadata(metadata, path=self.path)
        self.trained: TrainedModel = self.facts.trained(_Heatmaps(self))
        """What the metadata says, as of any trained network."""
        self._input = self._session.get_inputs()[0].name

    def __call__(self, crops: Tensor) -> Tensor:
        if self.facts.gives != "heatmaps":
            raise SdposeError(f"{self.path} gives joints, not heatmaps; export it without --with-decode")
        return torch.from_numpy(self.run(self._as_input(crops))[0]).to(crops.device)

    def joints(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Joints in heatmap cells (N, K, 2) and scores (N, K); for a file with decoding inside."""
        cells, _, scores = self.run(self._as_input(crops))
        return torch.from_numpy(cells).to(crops.device), torch.from_numpy(scores).to(crops.device)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """All outputs as they come, for an input as the file takes it."""
        try:
            return list(self._session.run(None, {self._input: images}))
        except Exception as error:  # onnxruntime's errors share no public base
            raise SdposeError(f"{self.path} does not run: {_first_line(error)}") from error

    def _as_input(self, crops: Tensor) -> np.ndarray:
        if self.facts.takes == "crops":
            return crops.cpu().numpy()
        images: Tensor = self.trained.normalize(crops.cpu())
        return images.contiguous().numpy()


class _Heatmaps(nn.Module):
    """Normalised images -> heatmaps, where the file takes these."""

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> Tensor:
        network = self._network
        if network.facts.takes != "normalised" or network.facts.gives != "heatmaps":
            raise SdposeError(
                f"{network.path} takes {network.facts.takes} and gives {network.facts.gives}; only a file without "
                "--with-normalize and --with-decode can stand in for a torch module"
            )
        return torch.from_numpy(network.run(images.cpu().contiguous().numpy())[0]).to(images.device)


def _session(file: Path | str | bytes, path: str, num_threads: int | None, *, on_gpu: bool) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SdposeError("an ONNX file needs onnxruntime: pip install 'sdpose[onnx]'") from error
    if not isinstance(file, bytes) and not Path(file).is_file():
        raise SdposeError(f"{path}: no such file")
    options = onnxruntime.SessionOptions()
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    # Its threads wait actively within a run, not between runs, when others (OpenCV, torch) need the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = ["CPUExecutionProvider"]
    if on_gpu and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    try:
        return onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file), options, providers=providers
        )
    except Exception as error:  # onnxruntime's errors share no public base
        raise SdposeError(
            f"{path} is no ONNX model that onnxruntime can load: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
