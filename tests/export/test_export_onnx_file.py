"""The ONNX file: the same heatmaps and joints as torch, for any number of crops, and what it says about itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from page_text import REPOSITORY, fenced
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.export.onnx_file import OPSET, traced
from sdpose.export.people import People, crops_of_people
from sdpose.geometry import affine_matrix, apply_affine, heatmap_to_image
from sdpose.heatmaps import decode_heatmaps
from sdpose.predict import Predictor
from sdpose.predict.model_facts import KEY, ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import find_joints, torch_network
from sdpose.trained_model import TrainedModel


def heatmaps_of(demo: TrainedModel, crops: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch_network(demo, torch.device("cpu"))(crops)


@pytest.mark.parametrize("num", [1, 3, 17])
def test_any_number_of_crops_gives_torchs_heatmaps(
    demo: TrainedModel, people: People, plain_file: bytes, num: int
) -> None:
    crops = crops_of_people(people, num)
    assert len(crops) == num
    torch.testing.assert_close(OnnxNetwork(plain_file)(crops), heatmaps_of(demo, crops), rtol=0, atol=1e-5)


def test_onnx_runtime_finds_its_own_gelu_in_the_file(plain_file: bytes, tmp_path: Path) -> None:
    """As one operator it is some per cent of a pass faster than as five."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(plain_file, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    given = [node.op_type for node in onnx.load_from_string(plain_file).graph.node]
    assert "Erf" not in kinds
    assert kinds.count("BiasGelu") == given.count("Erf") > 0


def test_joints_from_inside_are_those_of_the_predictor(
    demo: TrainedModel, people: People, whole_file: bytes
) -> None:
    crops = crops_of_people(people, 12)
    reference = torch_network(demo, torch.device("cpu"))
    with torch.inference_mode():
        cells, scores = find_joints(reference, crops, trained=demo, flip_test=True)
    found = OnnxNetwork(whole_file).run(crops.numpy())
    clear = scores.numpy() > 0.1
    assert clear.sum() > 100
    assert np.abs(found[0] - cells.numpy())[clear].max() < 1e-3
    np.testing.assert_allclose(found[2], scores.numpy(), rtol=0, atol=1e-5)


def test_the_pages_lines_find_the_joints_of_the_predictor(
    demo: TrainedModel, people: People, whole_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without sdpose, as docs/deploy.md tells."""
    (lines,) = (block for block in fenced(REPOSITORY / "docs" / "deploy.md") if block.language == "python")
    monkeypatch.chdir(tmp_path)
    Path("joints.onnx").write_bytes(whole_file)
    shutil.copy(people.table.image_paths[0], "photo.jpg")
    done = subprocess.run(
        [sys.executable, "-c", lines.text], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    image = cv2.imread("photo.jpg")
    poses = Predictor(demo, device="cpu")(image, [[10, 20, 180, 420]])
    assert [name for name, *_ in said] == list(demo.skeleton.keypoints)
    found = np.array([[float(value) for value in values] for _, *values in said])
    clear = poses.scores[0] > 0.1
    np.testing.assert_allclose(found[clear, :2], poses.keypoints[0][clear], rtol=0, atol=3)
    np.testing.assert_allclose(found[:, 2], poses.scores[0], rtol=0, atol=0.03)


def test_crop_pixels_are_where_the_affine_map_puts_the_joints(people: People, whole_file: bytes) -> None:
    network = OnnxNetwork(whole_file)
    crops = crops_of_people(people, len(people.persons))
    cells, in_crop, _ = network.run(crops.numpy())
    centers, scales = people.dataset.centers, people.dataset.scales
    in_image = heatmap_to_image(cells, centers, scales, network.facts.heatmap_size_wh)
    for row in range(len(crops)):
        matrix = affine_matrix(centers[row], scales[row], 0.0, network.facts.image_size_wh)
        np.testing.assert_allclose(apply_affine(in_image[row], matrix), in_crop[row], rtol=0, atol=0.02)


WAYS = ("unbiased", "default", None)


class Decoding(nn.Module):
    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Cells and scores, decoded in all ways: tracing one graph of three takes half as long as three graphs."""
        return tuple(found for way in WAYS for found in decode_heatmaps(maps, post_process=way))


def test_decoding_as_a_graph_is_decoding() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(4, 6, 32, 24, generator=generator) * 0.02
    rows, columns = torch.arange(32.0)[:, None], torch.arange(24.0)
    for person in range(4):
        for joint in range(6):
            # Inside, on the border, in the corner, half a cell off.
            x, y = [(12.3, 15.8), (0.0, 9.0), (23.0, 31.0), (7.5, 7.5), (21.6, 2.2), (1.4, 30.0)][joint]
            maps[person, joint] += torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    maps[3, 0] = 0.0
    maps[3, 1] = -1.0
    maps[3, 2, 5, 5] = maps[3, 2, 9, 9] = 2.0  # two equal maxima
    names = [f"{what} {way}" for way in WAYS for what in ("cells", "scores")]
    model = traced(Decoding().eval(), maps[:2], "maps", names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = dict(zip(names, session.run(names, {"maps": maps.numpy()}), strict=True))
    for way in WAYS:
        coords, scores = decode_heatmaps(maps, post_process=way)
        np.testing.assert_allclose(found[f"cells {way}"], coords.numpy(), rtol=0, atol=1e-4, err_msg=str(way))
        np.testing.assert_array_equal(found[f"scores {way}"], scores.numpy(), err_msg=str(way))
        assert coords[3, 0].tolist() == [-1.0, -1.0]


def test_batch_norms_are_gone_and_nothing_tells_of_the_machine(plain_file: bytes) -> None:
    model = onnx.load_from_string(plain_file)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_facts_survive_the_way_through_the_file(demo: TrainedModel, whole_file: bytes) -> None:
    facts = ModelFacts.of(demo, takes="crops", gives="joints", flip_inside=True)
    assert OnnxNetwork(whole_file).facts == facts
    assert ModelFacts.from_metadata({KEY: facts.to_json()}, path="x") == facts


def test_the_predictor_takes_a_file_as_it_takes_weights(
    demo: TrainedModel, people: People, plain_file: bytes, whole_file: bytes, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (150, 200, 3), dtype=np.uint8)
    boxes = [[10, 10, 60, 120], [80, 5, 100, 140]]
    expected = Predictor(demo, device="cpu")(image, boxes)
    for name, content in (("plain", plain_file), ("whole", whole_file)):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        found = Predictor(path, device="cpu")(image, boxes)
        assert found.skeleton == demo.skeleton
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5)
        clear = expected.scores > 0.05
        np.testing.assert_allclose(found.keypoints[clear], expected.keypoints[clear], rtol=0, atol=0.05)
    with pytest.raises(SdposeError, match=r"flip test inside.*export it anew"):
        Predictor(tmp_path / "whole.onnx", device="cpu", flip_test=False)
    with pytest.raises(SdposeError, match=r"plain.onnx computes in the numbers that it was exported with"):
        Predictor(tmp_path / "plain.onnx", device="cpu", precision="bf16")


def test_files_that_are_none_of_ours_are_named(plain_file: bytes, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not an onnx file")
    with pytest.raises(SdposeError, match=r"bad.onnx is no ONNX model"):
        OnnxNetwork(bad)
    with pytest.raises(SdposeError, match="no such file"):
        OnnxNetwork(tmp_path / "absent.onnx")
    foreign = onnx.load_from_string(plain_file)
    onnx.helper.set_model_props(foreign, {"author": "somebody"})
    with pytest.raises(SdposeError, match=r"not written by `sdpose export`.*author"):
        OnnxNetwork(foreign.SerializeToString())
    facts = OnnxNetwork(plain_file).facts.to_json()
    onnx.helper.set_model_props(foreign, {KEY: facts.replace('"format": 1', '"format": 9')})
    with pytest.raises(SdposeError, match="format 9, this version reads 1"):
        OnnxNetwork(foreign.SerializeToString())
    onnx.helper.set_model_props(foreign, {KEY: facts[: len(facts) // 2]})
    with pytest.raises(SdposeError, match="metadata is damaged"):
        OnnxNetwork(foreign.SerializeToString())


def test_an_export_leaves_the_network_as_it_was(
    demo: TrainedModel, people: People, whole_file: bytes
) -> None:
    """The exporter's stand-in tensors once stayed in a cache of the flip test."""
    crops = crops_of_people(people, 2)
    reference = torch_network(demo, torch.device("cpu"))
    with torch.inference_mode():
        cells, _ = find_joints(reference, crops, trained=demo, flip_test=True)
    assert type(cells) is torch.Tensor
