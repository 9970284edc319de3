"""A trained network as the bytes of an ONNX file."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.export.graph import ExportedGraph
from sdpose.predict.model_facts import KEY, ModelFacts
from sdpose.trained_model import TrainedModel

# The lowest that has LayerNormalization (17) and the exporter's own (18): nothing is converted. ONNX Runtime has it
# since 1.14, TensorRT since 8.6, OpenVINO since 2023.0.
OPSET = 18


def onnx_bytes(trained: TrainedModel, facts: ModelFacts) -> bytes:
    """The file, with `facts` in its metadata; any number of crops from 1 goes through it.

    Raises SdposeError when a package is missing.
    """
    need_onnx()
    graph = ExportedGraph(copy.deepcopy(trained), facts).cpu().float().eval()
    outputs = ["heatmaps"] if facts.gives == "heatmaps" else ["joints_cells", "joints_px", "scores"]
    # Some kernels are chosen by shape: 1 would be taken for a number that never changes.
    images = _example(facts, num=2)
    model = traced(graph, images, "crops" if facts.takes == "crops" else "images", outputs)
    return finished(model, facts)


def traced(graph: nn.Module, example: Tensor, input_name: str, output_names: Sequence[str]) -> Any:
    """The ONNX model of a module in evaluation mode; dimension 0 is free, from 1."""
    with _quiet(), torch.no_grad(), _interruptible():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _order_gelu(model.graph)
    return model


def _order_gelu(graph: Any) -> None:
    """x * (0.5 * (1 + erf)) as (x * (1 + erf)) * 0.5: the same bits, and the order that ONNX Runtime fuses into one."""
    users: dict[str, list[Any]] = {}
    makers: dict[str, Any] = {}
    for node in graph.node:
        makers.update(dict.fromkeys(node.output, node))
        for name in node.input:
            users.setdefault(name, []).append(node)
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        x = makers[erf.input[0]].input[0]
        chain = [erf]  # Erf, Add, Mul with 0.5, Mul with x
        for wanted in ("Add", "Mul", "Mul"):
            after = users[chain[-1].output[0]]
            if len(after) != 1 or after[0].op_type != wanted:
                break
            chain += after
        if len(chain) != 4 or sorted(chain[3].input) != sorted([x, chain[2].output[0]]):
            continue
        one_more, halved, product = chain[1:]
        half = next(name for name in halved.input if name != one_more.output[0])
        halved.input[:] = [x, one_more.output[0]]
        product.input[:] = [halved.output[0], half]


def finished(model: Any, facts: ModelFacts) -> bytes:
    """An ONNX model as bytes: checked, told what it is, and without the paths of the machine that made it."""
    import onnx

    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    model.doc_string = f"SDPose {facts.name}: 2D human pose, {facts.skeleton.num_keypoints} joints"
    onnx.helper.set_model_props(model, {KEY: facts.to_json()})
    model.producer_name = "sdpose"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def need_onnx() -> None:
    """Raises SdposeError, with the command that installs it, when a package is missing."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise SdposeError(f"an export needs the package {name}: pip install 'sdpose[onnx]'")


def _example(facts: ModelFacts, *, num: int) -> torch.Tensor:
    width, height = facts.image_size_wh
    if facts.takes == "crops":
        return torch.randint(0, 256, (num, height, width, 3), dtype=torch.uint8)
    return torch.randn(num, 3, height, width)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C as such: torch's exporter makes an error of its own of one that comes while it loads its compiler."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            cause = cause.__cause__ or cause.__context__
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on torchvision, which is not used, and on its own deprecated parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
