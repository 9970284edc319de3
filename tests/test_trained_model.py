"""A network from a file: told by its config, or by its shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdpose.errors import SdposeError
from sdpose.models.variants import create_model
from sdpose.trained_model import load_trained_model

DEMO = Path(__file__).parents[1] / "sdpose" / "weights" / "sdpose_demo.pth"


def test_our_checkpoint_brings_its_config() -> None:
    trained = load_trained_model(DEMO)
    assert (trained.image_size_wh, trained.heatmap_size_wh) == ((96, 128), (24, 32))
    assert trained.skeleton.num_keypoints == 17
    crops = torch.zeros((2, 128, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert trained.model(trained.normalize(crops)).shape == (2, 17, 32, 24)


def test_folding_batch_norms_changes_no_heatmap() -> None:
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (2, 128, 96, 3), dtype=torch.uint8, generator=generator)
    fused, plain = (load_trained_model(DEMO, fuse=fuse) for fuse in (True, False))
    with torch.inference_mode():
        one, other = (each.model(each.normalize(crops)) for each in (fused, plain))
    assert float((one - other).abs().max()) < 1e-5


@pytest.mark.parametrize("name", ["sdpose_t", "sdpose_s_v1", "sdpose_s_v2", "sdpose_b"])
def test_bare_weights_are_told_by_their_shapes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "official.pth"
    state_dict = create_model(name).state_dict()
    prefix = "module." if name == "sdpose_t" else ""
    torch.save({f"{prefix}{key}": value for key, value in state_dict.items()}, path)
    trained = load_trained_model(path)
    assert trained.name == name
    assert trained.image_size_wh == (192, 256)


def test_weights_of_another_model_are_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(create_model("sdpose_t", depth=2).state_dict(), path)
    with pytest.raises(SdposeError, match="--config"):
        load_trained_model(path)
    torch.save(create_model("sdpose_t", num_keypoints=14).state_dict(), path)
    with pytest.raises(SdposeError, match="--config"):
        load_trained_model(path)
    with pytest.raises(SdposeError, match=r"no_such\.pth"):
        load_trained_model(tmp_path / "no_such.pth")
