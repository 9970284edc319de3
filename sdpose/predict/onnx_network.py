"""A file that `sdpose export` wrote, as the predictor takes networks.

Legend: N crops, K joints, H, W rows and columns of a crop, h, w of a heatmap.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.predict.model_facts import ModelFacts
from sdpose.predict.onnx_session import OnnxSession
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
        self._session = OnnxSession(file, name=name, num_threads=num_threads, on_gpu=on_gpu)
        self.path = self._session.path
        self.facts = ModelFacts.from_metadata(self._session.metadata, path=self.path)
        self.trained: TrainedModel = self.facts.trained(_Heatmaps(self))
        """What the metadata says, as of any trained network."""

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
        return self._session.run(images)

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
