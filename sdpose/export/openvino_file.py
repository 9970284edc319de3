"""OpenVINO: the ONNX file in its format, and as a network to measure."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdpose.errors import SdposeError
from sdpose.predict.model_facts import KEY, ModelFacts

INSTALLED = importlib.util.find_spec("openvino") is not None


def need_openvino() -> None:
    """Raises SdposeError, with the command that installs it, when it is missing."""
    if not INSTALLED:
        raise SdposeError("the format openvino needs the package openvino: pip install 'sdpose[openvino]'")


class OpenVinoNetwork:
    """Crops (N, H, W, 3) uint8 RGB -> heatmaps (N, K, h, w) float32, by OpenVINO on the CPU."""

    def __init__(self, onnx_file: bytes, facts: ModelFacts, *, num_threads: int | None = None) -> None:
        import openvino

        self.facts = facts
        self._normalize = facts.trained(torch.nn.Identity()).normalize
        # By itself it takes bfloat16 on CPUs that have it, whose 3 digits move joints.
        hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if num_threads is not None:
            hints["INFERENCE_NUM_THREADS"] = num_threads
        core = openvino.Core()
        self._model = core.compile_model(core.read_model(onnx_file), "CPU", hints)

    def __call__(self, crops: Tensor) -> Tensor:
        return self._run(crops)[0]

    def joints(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Joints in heatmap cells (N, K, 2) and scores (N, K); for a file with decoding inside."""
        cells, _, scores = self._run(crops)
        return cells, scores

    def _run(self, crops: Tensor) -> list[Tensor]:
        images = crops if self.facts.takes == "crops" else self._normalize(crops).contiguous()
        outputs = self._model(images.numpy())
        # Its memory is used again by the next run.
        return [torch.from_numpy(outputs[index].copy()) for index in range(len(outputs))]


def write_openvino(onnx_file: bytes, facts: ModelFacts, xml: Path) -> None:
    """`xml` and the weights beside it (.bin); the facts stand in the file's runtime information."""
    import openvino

    model = openvino.Core().read_model(onnx_file)
    model.set_rt_info(facts.to_json(), KEY)
    openvino.save_model(model, str(xml), compress_to_fp16=False)
