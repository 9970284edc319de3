"""The weights that come with the package: small, safe to load, of the demo's model, and good at drawn people."""

from pathlib import Path

import pytest
import torch

from sdpose.assemble.machine import choose_machine
from sdpose.assemble.model import build_model
from sdpose.config.settings import Settings, load_settings
from sdpose.data.synthetic import make_dataset
from sdpose.evaluate import Evaluator
from sdpose.models.weights import load_model_weights
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.distributed import World

WEIGHTS = Path(__file__).resolve().parent.parent / "sdpose" / "weights" / "sdpose_demo.pth"


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> Settings:
    """The demo's config on people that nobody was trained on."""
    make_dataset(tmp_path / "set", num_train_images=1, num_val_images=60, seed=4711, num_workers=0)
    return load_settings(repository / "configs/demo/sdpose_demo.py", data_root=str(tmp_path / "set"))


def test_the_file_is_small_and_holds_plain_tensors_only() -> None:
    assert WEIGHTS.stat().st_size <= 4_000_000
    content = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    assert {"meta", "state_dict"} <= set(content)
    assert all(isinstance(value, torch.Tensor) for value in content["state_dict"].values())


def test_it_finds_the_joints_of_people_it_has_never_seen(settings: Settings) -> None:
    model = build_model(settings, pretrained=False)
    load_model_weights(model, load_checkpoint(WEIGHTS).state_dict, source=str(WEIGHTS))
    device = torch.device("cpu")
    evaluator = Evaluator(settings, "val", World(device=device), choose_machine(settings, device))
    assert evaluator.run(model).metrics["AP"] > 0.5
