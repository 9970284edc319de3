"""OpenVINO, where it is installed: the same heatmaps, and a file that says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sdpose.cli.main import main
from sdpose.export import job, openvino_file
from sdpose.export.openvino_file import OpenVinoNetwork
from sdpose.export.people import People, crops_of_people
from sdpose.predict.model_facts import KEY, ModelFacts
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.predict.predictor import find_joints, torch_network
from sdpose.trained_model import TrainedModel

needs_openvino = pytest.mark.skipif(
    not openvino_file.INSTALLED, reason="needs the package openvino (180 MB): pip install 'sdpose[openvino]'"
)


@needs_openvino
@pytest.mark.parametrize("num", [1, 5])
def test_it_finds_torchs_heatmaps(demo: TrainedModel, people: People, plain_file: bytes, num: int) -> None:
    crops = crops_of_people(people, num)
    network = OpenVinoNetwork(plain_file, OnnxNetwork(plain_file).facts, num_threads=1)
    with torch.inference_mode():
        expected = torch_network(demo, torch.device("cpu"))(crops)
    torch.testing.assert_close(network(crops), expected, rtol=0, atol=1e-5)


@needs_openvino
def test_joints_from_inside_are_those_of_the_predictor(
    demo: TrainedModel, people: People, whole_file: bytes
) -> None:
    crops = crops_of_people(people, 8)
    network = OpenVinoNetwork(whole_file, OnnxNetwork(whole_file).facts, num_threads=1)
    with torch.inference_mode():
        cells, scores = find_joints(
            torch_network(demo, torch.device("cpu")), crops, trained=demo, flip_test=True
        )
    found, found_scores = network.joints(crops)
    torch.testing.assert_close(found_scores, scores, rtol=0, atol=1e-5)
    assert (found - cells).abs()[scores > 0.1].max() < 1e-3


@needs_openvino
def test_the_verb_writes_a_file_that_knows_what_it_is(
    demo: TrainedModel,
    demo_weights: Path,
    plain_file: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import openvino

    monkeypatch.setattr(job, "onnx_bytes", lambda trained, facts: plain_file)
    out = tmp_path / "pose.xml"
    words = ["export", str(demo_weights), "--format", "openvino", "--images", "6", "--out", str(out)]
    assert main(words) == 0
    assert "| OpenVINO | yes |" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"pose.xml", "pose.bin"}
    said = openvino.Core().read_model(str(out)).get_rt_info(KEY).astype(str)
    assert ModelFacts.from_metadata({KEY: said}, path=out) == OnnxNetwork(plain_file).facts
    assert json.loads(said)["name"] == demo.name


def test_where_it_is_missing_its_name_is_said(
    demo_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(openvino_file, "INSTALLED", False)
    out = str(tmp_path / "pose.xml")
    assert main(["export", str(demo_weights), "--format", "openvino", "--out", out]) == 2
    assert "pip install 'sdpose[openvino]'" in capsys.readouterr().err


def test_int8_is_onnx_runtimes(
    demo_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(openvino_file, "INSTALLED", True)
    out = str(tmp_path / "pose.xml")
    assert main(["export", str(demo_weights), "--format", "openvino", "--int8", "--out", out]) == 2
    assert "export it with --format onnx" in capsys.readouterr().err
