"""`sdpose export`: a file only where it is proved right, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from sdpose.cli.main import main
from sdpose.export import job
from sdpose.export.int8 import RECIPES, WEIGHT_LIMIT, equal_batches, largest_weight, quantised
from sdpose.export.people import People, crops_of_folder, crops_of_people
from sdpose.predict.onnx_network import OnnxNetwork
from sdpose.trained_model import TrainedModel


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, plain_file: bytes, tmp_path: Path) -> Path:
    """A folder to work in; the exporter's ten seconds were spent once, on the same file."""
    monkeypatch.setattr(job, "onnx_bytes", lambda trained, facts: plain_file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def damaged(content: bytes) -> bytes:
    """The file with noise on the patch embedding: a network that runs and is wrong."""
    model = onnx.load_from_string(content)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 4:
            noisy = values + rng.normal(0, 0.5 * values.std(), values.shape).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(noisy.astype(np.float32), tensor.name))
    result: bytes = model.SerializeToString()
    return result


def test_a_right_file_is_written_with_its_table(
    ready: Path, demo_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(demo_weights), "--images", "12"]) == 0
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| ONNX Runtime")]
    assert [row.split(" | ")[1] for row in rows] == ["no", "yes"]
    assert all(row.split(" | ")[3] == "+0.0000" for row in rows)
    path = ready / "sdpose_demo.onnx"
    assert f"written: {path.name}" in said
    assert OnnxNetwork(path).facts.name == "sdpose_demo"


def test_predict_with_the_file_gives_what_predict_with_the_weights_gives(
    ready: Path, demo_weights: Path, plain_file: bytes, people: People
) -> None:
    (ready / "pose.onnx").write_bytes(plain_file)
    folder, boxes = Path(people.table.image_paths[0]).parent, people.table.ann_file
    found = {}
    for weights in (demo_weights, "pose.onnx"):
        words = [
            str(weights),
            str(folder),
            "--boxes",
            str(boxes),
            "--no-draw",
            "--out",
            f"out_{Path(weights).stem}",
        ]
        assert main(["predict", *words, "--device", "cpu"]) == 0
        entries = json.loads((Path(words[-1]) / "predictions.json").read_text(encoding="utf-8"))
        found[Path(weights).suffix] = {
            (entry["image_id"], tuple(entry["bbox"])): np.array(entry["keypoints"]).reshape(-1, 3)
            for entry in entries
        }
    assert found[".pth"].keys() == found[".onnx"].keys()
    for key, joints in found[".pth"].items():
        clear = joints[:, 2] > 0.05
        np.testing.assert_allclose(found[".onnx"][key][clear], joints[clear], rtol=0, atol=0.01)


def test_a_wrong_file_is_not_written_and_the_old_one_stays(
    ready: Path,
    demo_weights: Path,
    plain_file: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(job, "onnx_bytes", lambda trained, facts: damaged(plain_file))
    (ready / "m.onnx").write_bytes(b"the old one")
    assert main(["export", str(demo_weights), "--images", "12", "--out", "m.onnx"]) == 1
    assert "NOT WRITTEN: ONNX Runtime loses" in capsys.readouterr().out
    assert (ready / "m.onnx").read_bytes() == b"the old one"
    assert [path.name for path in ready.iterdir()] == ["m.onnx"]


def test_int8_that_loses_too_much_is_refused_with_what_was_tried(
    ready: Path, demo_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "quantised", lambda content, *rest, **more: damaged(content))
    arguments = ["--images", "12", "--int8", "--calibration-crops", "8", "--out", "m.onnx"]
    assert main(["export", str(demo_weights), *arguments]) == 1
    said = capsys.readouterr().out
    assert all(recipe.name in said.split("NOT WRITTEN: int8 loses")[1] for recipe in RECIPES)
    assert [path.name for path in ready.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_int8_weights_cannot_saturate_on_any_cpu(
    demo: TrainedModel, people: People, plain_file: bytes, recipe: object
) -> None:
    crops = crops_of_people(people, 13)  # no whole number of batches
    network = OnnxNetwork(plain_file)
    content = quantised(plain_file, demo, network.facts, crops, recipe)  # type: ignore[arg-type]
    assert 0 < largest_weight(content) <= WEIGHT_LIMIT
    assert 2 * 255 * WEIGHT_LIMIT < 2**15
    int8 = OnnxNetwork(content)
    assert int8.facts.numbers == "int8"
    with torch.inference_mode():
        difference = (int8(crops) - network(crops)).abs()
    assert 0 < difference.mean() < 0.02


@pytest.mark.parametrize(("num", "batches"), [(1, [[0]]), (3, [[0, 1, 2]]), (6, [[0, 1, 2], [3, 4, 5]])])
def test_calibration_sees_every_crop_in_batches_of_one_size(num: int, batches: list[list[int]]) -> None:
    assert [batch.tolist() for batch in equal_batches(torch.arange(num), 3)] == batches


def test_the_last_calibration_batch_repeats_crops_rather_than_being_smaller() -> None:
    assert [batch.tolist() for batch in equal_batches(torch.arange(5), 3)] == [[0, 1, 2], [2, 3, 4]]


def test_calibration_crops_come_from_a_folder_with_boxes(demo: TrainedModel, people: People) -> None:
    folder, boxes = people.table.image_paths[0], people.table.ann_file
    crops = crops_of_folder(Path(folder).parent, boxes, demo, 10)
    width, height = demo.image_size_wh
    assert crops.shape == (10, height, width, 3)
    assert crops.dtype == torch.uint8
    assert torch.equal(crops[:3], crops_of_people(people, len(people.persons))[:3])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "m.pt"], "m.pt is no name for onnx; expected it to end in .onnx"),
        (["--out", "absent/m.onnx"], "there is no folder absent"),
        (["--with-flip-test"], "add --with-decode"),
        (["--int8", "--no-parity"], "leave --no-parity away"),
        (["--calibration-images", "x"], "give both"),
        (["--images", "0"], "--images 0; expected at least 1"),
    ],
)
def test_mistakes_are_one_line(
    ready: Path, demo_weights: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["export", str(demo_weights), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not list(ready.iterdir())


def test_what_is_no_checkpoint_is_named(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ready / "notes.pth").write_text("not a checkpoint")
    assert main(["export", "notes.pth"]) == 2
    assert "notes.pth" in capsys.readouterr().err


def test_weights_that_find_nobody_prove_nothing(
    ready: Path, demo: TrainedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Blind(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(images), 17, 32, 24)

    blind = demo.__class__(**{**vars(demo), "model": Blind()})
    monkeypatch.setattr(job, "load_trained_model", lambda weights, config: blind)
    assert main(["export", "blind.pth", "--images", "4"]) == 2
    assert "--data CONFIG" in capsys.readouterr().err
    assert not list(ready.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_cure(
    ready: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    find = job.need_onnx.__globals__["importlib"].util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == package else find(name, *rest)
    )
    assert main(["export", "w.pth"]) == 2
    assert f"needs the package {package}: pip install 'sdpose[onnx]'" in capsys.readouterr().err


def test_ctrl_c_is_no_error_of_the_exporter(
    demo_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*words: object, **options: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            try:
                raise AttributeError("half loaded")
            except AttributeError as error:
                raise RuntimeError("Failed to export the model") from error

    monkeypatch.setattr(torch.onnx, "export", interrupted)
    out = tmp_path / "pose.onnx"
    out.write_bytes(b"the old one")
    assert main(["export", str(demo_weights), "--no-parity", "--out", str(out)]) == 130
    assert capsys.readouterr().err == "sdpose: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["pose.onnx"]
    assert out.read_bytes() == b"the old one"
