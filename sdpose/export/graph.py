"""What is written: the network, on request with normalisation before it and flip test and decoding behind it.

Legend: N crops, K joints, H, W rows and columns of a crop, h, w of a heatmap.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sdpose.heatmaps import decode_heatmaps, flip_heatmaps
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel


class ExportedGraph(nn.Module):
    """`facts` say what goes in and what comes out.

    takes 'crops': (N, H, W, 3) uint8 RGB; 'normalised': (N, 3, H, W) float32.
    gives 'heatmaps': (N, K, h, w) float32; 'joints': joints in heatmap cells (N, K, 2), in crop pixels (N, K, 2), and
    scores (N, K), as `decode_heatmaps` gives them. A map without a positive value has its joint at cell (-1, -1).
    """

    ratio: Tensor

    def __init__(self, trained: TrainedModel, facts: ModelFacts) -> None:
        super().__init__()
        self.model = trained.model
        self.normalize = trained.normalize if facts.takes == "crops" else None
        self.facts = facts
        # A crop's edge is the heatmap's edge, as in `geometry.heatmap_to_image`.
        sizes = zip(facts.image_size_wh, facts.heatmap_size_wh, strict=True)
        self.register_buffer("ratio", torch.tensor([image / cells for image, cells in sizes]))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        if self.normalize is not None:
            images = self.normalize(images)  # (N, 3, H, W)
        heatmaps = self._heatmaps(images)
        if self.facts.gives == "heatmaps":
            return heatmaps
        cells, scores = decode_heatmaps(
            heatmaps, post_process=self.facts.post_process, kernel=self.facts.kernel
        )
        return cells, cells * self.ratio, scores

    def _heatmaps(self, images: Tensor) -> Tensor:
        if not self.facts.flip_inside:
            plain: Tensor = self.model(images)
            return plain
        heatmaps = self.model(torch.cat([images, images.flip(3)]))  # (2 N, K, h, w)
        plain, turned = heatmaps[: images.shape[0]], heatmaps[images.shape[0] :]
        mirrored = flip_heatmaps(turned, self.facts.skeleton.flip_index, shift=self.facts.shift_heatmap)
        return (plain + mirrored) * 0.5
