"""int8 by static quantisation: ranges from real crops, and only numbers that every CPU computes alike.

A CPU without VNNI adds pairs of products of uint8 activations and int8 weights in 16 bits (VPMADDUBSW) and saturates:
2 x 255 x 127 is above 32767. With weights of 7 bits 2 x 255 x 64 = 32640 is not, so the sums are exact on all of them.

What is left is the coarseness of 8 bits. Which layers stand it differs from network to network, so a ladder of recipes
is tried, from the fastest to the most careful, and the measured AP decides.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdpose.export.onnx_file import finished
from sdpose.predict.model_facts import ModelFacts
from sdpose.trained_model import TrainedModel

WEIGHT_LIMIT = 64
"""No quantised weight is larger; see above."""

# Beyond it lie the few outliers for which all other activations would lose precision.
_PERCENTILE = 99.99
_CALIBRATION_BATCH = 8


@dataclass(frozen=True)
class Recipe:
    """Which layers become int8. Products of two activations (attention) stay in float in all."""

    name: str
    left_out: Callable[[list[Any]], list[Any]]
    """Convolutions in order -> those that stay in float."""


RECIPES = (
    Recipe("all layers", lambda convolutions: []),
    # The image itself and the patches: one input and one output of everything, each with a wide range.
    Recipe("all but first convolution and patches", lambda convolutions: [convolutions[0], convolutions[-1]]),
    Recipe("linear layers", lambda convolutions: convolutions),
)


def quantised(
    content: bytes,
    trained: TrainedModel,
    facts: ModelFacts,
    crops: Tensor,
    recipe: Recipe,
    *,
    ranges: Path | None = None,
) -> bytes:
    """The ONNX file `content` with the recipe's layers in int8; crops (N, H, W, 3) uint8 RGB give the ranges.

    `ranges` is a file that keeps them: the first recipe has those of all others, and they take longest to find.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType

    return statically_quantised(
        content,
        trained,
        facts,
        crops,
        left_out=lambda model: [node.name for node in _left_out(model, recipe)],
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul"],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.Percentile,
        extra_options={"CalibPercentile": _PERCENTILE},
        **_kept_in(ranges),
    )


def statically_quantised(
    content: bytes,
    trained: TrainedModel,
    facts: ModelFacts,
    crops: Tensor,
    *,
    left_out: Callable[[Any], list[str]] = lambda model: [],
    **settings: Any,
) -> bytes:
    """The same with any settings of onnxruntime's `quantize_static`; `left_out`: the model -> names of float nodes."""
    import onnx
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, prepared, target = (
            Path(folder) / name for name in ("float.onnx", "prepared.onnx", "int8.onnx")
        )
        source.write_bytes(content)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _Calibration(trained, facts, crops),
            nodes_to_exclude=left_out(onnx.load(prepared)),
            **settings,
        )
        return finished(onnx.load(target), replace(facts, numbers="int8"))


def _kept_in(ranges: Path | None) -> dict[str, Any]:
    from onnxruntime.quantization import quantize_static

    known = "calibration_cache_path" in signature(quantize_static).parameters  # since 1.32
    return {"calibration_cache_path": ranges} if known and ranges is not None else {}


def largest_weight(content: bytes) -> int:
    """The largest absolute value of all int8 weights in the file; 0 when it has none."""
    import onnx

    model = onnx.load_from_string(content)
    weights = [
        np.abs(onnx.numpy_helper.to_array(tensor).astype(np.int32)).max()
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    return int(max(weights, default=0))


class _Calibration:
    """Batches as the file takes them; what onnxruntime calls a CalibrationDataReader."""

    def __init__(self, trained: TrainedModel, facts: ModelFacts, crops: Tensor) -> None:
        self._trained, self._facts = trained, facts
        self._batches = equal_batches(crops, _CALIBRATION_BATCH)

    @torch.inference_mode()
    def get_next(self) -> dict[str, np.ndarray] | None:
        """None at the end."""
        batch = next(self._batches, None)
        if batch is None:
            return None
        if self._facts.takes == "crops":
            return {"crops": batch.numpy()}
        return {"images": self._trained.normalize(batch).contiguous().numpy()}


def equal_batches(crops: Tensor, size: int) -> Iterator[Tensor]:
    """All N crops in batches of min(size, N), since onnxruntime stacks what it sees; the last may repeat some."""
    size = min(size, len(crops))
    for end in range(size, len(crops) + size, size):
        end = min(end, len(crops))
        yield crops[end - size : end]


def _left_out(model: Any, recipe: Recipe) -> list[Any]:
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    attention = [node for node in nodes if node.op_type == "MatMul" and node.input[1] not in constants]
    return attention + recipe.left_out([node for node in nodes if node.op_type == "Conv"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress on standard output and its advice to pre-process what is pre-processed."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
