"""Exports of the shipped weights, each made once: an export takes some ten seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_once import exported_once

from sdpose.export.people import People, drawn_people
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel, load_trained_model

DEMO = Path(__file__).parents[2] / "sdpose" / "weights" / "sdpose_demo.pth"

pytest.importorskip("onnxruntime", reason="exports need onnx, onnxruntime and onnxscript")


@pytest.fixture(scope="session")
def demo_weights() -> Path:
    return DEMO


@pytest.fixture(scope="session")
def demo() -> TrainedModel:
    return load_trained_model(DEMO)


@pytest.fixture(scope="session")
def people(demo: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> People:
    return drawn_people(tmp_path_factory.mktemp("people") / "drawn", demo, num_images=24)


@pytest.fixture(scope="session")
def plain_file(demo: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Normalised images in, heatmaps out."""
    facts = ModelFacts.of(demo, takes="normalised", gives="heatmaps", flip_inside=False)
    return exported_once(tmp_path_factory, demo, facts)


@pytest.fixture(scope="session")
def whole_file(demo: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """uint8 crops in, joints out, flip test inside."""
    facts = ModelFacts.of(demo, takes="crops", gives="joints", flip_inside=True)
    return exported_once(tmp_path_factory, demo, facts)
