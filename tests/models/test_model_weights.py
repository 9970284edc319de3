"""Loading weights: strictly, with an error that says what the file is; leniently for a pretrained backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdpose.errors import SdposeError
from sdpose.models import HRNet3Stage, create_model, load_model_weights, load_pretrained_backbone
from sdpose.models.weights import read_weights


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_go_in_with_and_without_the_wrappers_prefix(prefix: str) -> None:
    torch.manual_seed(0)
    source, model = create_model("sdpose_t", depth=1), create_model("sdpose_t", depth=1)
    load_model_weights(
        model, {prefix + key: value for key, value in source.state_dict().items()}, source="x.pth"
    )
    for key, value in source.state_dict().items():
        assert model.state_dict()[key].equal(value), key


@pytest.mark.parametrize(
    ("theirs", "ours", "looks_like"),
    [
        ("sdpose_s_v1", "sdpose_t", "sdpose_s_v1 (StemNet, 12 layers, 256 patches, width 192, 17 keypoints)"),
        (
            "sdpose_s_v2",
            "sdpose_s_v1",
            "sdpose_s_v2 (StemNet, 12 layers, 768 patches, width 192, 17 keypoints)",
        ),
        ("sdpose_b", "sdpose_s_v1", "sdpose_b (HRNet, 12 layers, 256 patches, width 192, 17 keypoints)"),
        ("sdpose_t", "sdpose_b", "sdpose_t (StemNet, 6 layers, 256 patches, width 192, 17 keypoints)"),
    ],
)
def test_a_checkpoint_of_another_variant_is_named(theirs: str, ours: str, looks_like: str) -> None:
    model = create_model(ours)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SdposeError) as error:
        load_model_weights(model, create_model(theirs).state_dict(), source="epoch_300.pth")
    message = str(error.value)
    assert message.startswith(f"epoch_300.pth: the weights look like {looks_like}, expected {ours} (")
    assert "use the config or model name that belongs to the file" in message
    assert "\n" not in message
    assert all(model.state_dict()[key].equal(value) for key, value in before.items())


def test_other_differences_are_named() -> None:
    model = create_model("sdpose_t", depth=1)
    state_dict: dict[str, Tensor] = dict(create_model("sdpose_t", depth=1, num_keypoints=14).state_dict())
    state_dict["extra"] = state_dict.pop("backbone.bn1.weight")
    with pytest.raises(SdposeError) as error:
        load_model_weights(model, state_dict, source="x.pth")
    message = str(error.value)
    assert "an SDPose of its own kind (StemNet, 1 layers, 256 patches, width 192, 14 keypoints)" in message
    assert "3 differences: backbone.bn1.weight is missing" in message
    assert "keypoint_token is (1, 14, 192) instead of (1, 17, 192)" in message
    assert "extra is not in the model" in message


@pytest.mark.parametrize("state_dict", [{}, {"conv1.weight": torch.zeros(3)}, {"epoch": 3}])
def test_weights_of_something_else_are_named(state_dict: dict[str, object]) -> None:
    with pytest.raises(SdposeError, match="look like no SDPose, expected sdpose_t"):
        load_model_weights(create_model("sdpose_t"), state_dict, source="resnet.pth")


def imagenet_hrnet() -> dict[str, Tensor]:
    """Names and shapes of the usual HRNet-W32 file, as far as they matter: stage 1 twice as wide, more at the end."""
    torch.manual_seed(1)
    wide = HRNet3Stage(stage1_planes=64).state_dict()
    wide["stage4.0.branches.0.0.conv1.weight"] = torch.zeros(32, 32, 3, 3)
    wide["classifier.weight"] = torch.zeros(1000, 2048)
    return wide


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_what_fits_of_a_pretrained_backbone_is_loaded(prefix: str) -> None:
    file = imagenet_hrnet()
    backbone = HRNet3Stage()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    lines = load_pretrained_backbone(backbone, {prefix + key: value for key, value in file.items()})
    unfit = [key for key, value in before.items() if file[key].shape != value.shape]
    assert "layer1.0.conv1.weight" in unfit
    assert "transition1.0.0.weight" in unfit
    assert all(key.startswith(("layer1.", "transition1.")) for key in unfit)
    for key, value in backbone.state_dict().items():
        assert value.equal(before[key] if key in unfit else file[key]), key
    assert lines[0] == f"pretrained backbone: loaded {len(before) - len(unfit)} of {len(before)} tensors"
    assert len(lines) == 1 + len(unfit) + 1
    assert lines[1] == (
        "pretrained backbone: layer1.0.conv1.weight is (64, 64, 1, 1) in the file and (32, 64, 1, 1) in the model; "
        "it keeps PyTorch's initial values"
    )
    assert lines[-1].startswith("pretrained backbone: 2 tensors of the file are not used, first stage4.")


def test_missing_tensors_of_a_pretrained_backbone_are_listed() -> None:
    file = HRNet3Stage().state_dict()
    del file["bn1.weight"]
    assert "pretrained backbone: bn1.weight is not in the file and keeps PyTorch's initial values" in (
        load_pretrained_backbone(HRNet3Stage(), file)
    )


def test_a_pretrained_file_of_something_else_is_refused() -> None:
    with pytest.raises(SdposeError, match=r"none of the file's 1 tensors fits.*'fc.weight'.*'conv1.weight'"):
        load_pretrained_backbone(HRNet3Stage(), {"fc.weight": torch.zeros(2)})


def test_a_model_is_built_around_a_pretrained_file(tmp_path: Path) -> None:
    path = tmp_path / "hrnet.pth"
    torch.save({"state_dict": imagenet_hrnet()}, path)
    lines: list[str] = []
    model = create_model("sdpose_b", pretrained_backbone=path, report=lines.append)
    assert lines[0].startswith("pretrained backbone: loaded ")
    assert model.backbone.conv1.weight.equal(imagenet_hrnet()["conv1.weight"])
    # Not the normal(0, 0.001) of a model that starts from nothing.
    assert model.backbone.layer1[0].conv1.weight.std().item() > 0.01
    with pytest.warns(UserWarning, match="layer1.0.conv1.weight is"):
        create_model("sdpose_b", pretrained_backbone=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "cannot be read as PyTorch weights"),
        (b"<html>not found</html>", "cannot be read as PyTorch weights"),
        ([1, 2], "holds a list, expected tensors by name"),
        ({"epoch": 3}, "holds a dict, expected tensors by name"),
    ],
)
def test_files_that_hold_no_weights_are_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(SdposeError, match=message) as error:
        read_weights(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
