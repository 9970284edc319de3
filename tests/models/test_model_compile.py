"""The model that training calls is one graph for torch.compile: no break, and the same numbers."""

from __future__ import annotations

import pytest
import torch

from sdpose.assemble.training_step import _Cycles
from sdpose.models import SDPose, StemNet


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_all_cycles_compile_into_one_graph() -> None:
    torch.manual_seed(0)
    model = SDPose(
        StemNet(planes=8, num_blocks=1),
        in_channels=32,
        feature_size_hw=(16, 12),
        patch_size_hw=(4, 3),
        dim=32,
        depth=1,
        heads=4,
        mlp_ratio=2,
        heatmap_size_hw=(16, 12),
    )
    cycles, images = _Cycles(model), torch.randn(2, 3, 64, 48)
    # Without a compiler behind it: what is asked is whether tracing meets anything that it cannot follow.
    compiled = torch.compile(cycles, backend="eager", fullgraph=True)
    for ours, plain in zip(compiled(images), cycles(images), strict=True):
        torch.testing.assert_close(ours.heatmaps, plain.heatmaps)
