"""How large a model is and how much one image costs, part by part.

Two ways of counting multiply-adds (MACs) are in use, and they differ:

* `macs_with_attention`: all convolutions, linear layers and both attention products, half of what torch's flop counter
  says. The honest number.
* `macs`: what mmcv's counter says, and the paper calls "GFLOPs" (spec 9). It does not see the attention products, but
  adds two for each value that a batch or layer norm puts out and one for each of ReLU and upsampling.

FLOPs are twice the MACs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdpose.models.sdpose import SDPose
from sdpose.models.transformer import Attention


class Macs(NamedTuple):
    """Multiply-adds of one image, counted in both ways."""

    macs: int = 0
    macs_with_attention: int = 0

    def plus(self, other: Macs) -> Macs:
        """Sum of both counts."""
        return Macs(self.macs + other.macs, self.macs_with_attention + other.macs_with_attention)


@dataclass(frozen=True)
class PartCost:
    """One row: a part of the model. `one_cycle` is what evaluation runs, `all_cycles` a forward pass of training."""

    part: str
    params: int
    trainable: int
    one_cycle: Macs
    all_cycles: Macs


def count(model: SDPose, image_size_hw: tuple[int, int]) -> list[PartCost]:
    """The parts of a model in the order in which an image meets them, then a row "total".

    The model is neither run nor changed: the count uses a copy without storage. Raises SdposeError when the model is
    made for another image size.
    """
    one_cycle = count_macs(model, image_size_hw, 1)
    all_cycles = count_macs(model, image_size_hw, model.cycle_num)
    params: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        params.setdefault(part_of(name), []).append(parameter)
    rows = []
    for part in [part for part in PARTS if part in params]:
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in params[part]]
        rows.append(
            PartCost(
                part,
                params=sum(size for size, _ in sizes),
                trainable=sum(size for size, is_trainable in sizes if is_trainable),
                one_cycle=one_cycle.get(part, Macs()),
                all_cycles=all_cycles.get(part, Macs()),
            )
        )
    return [*rows, total(rows)]


def total(rows: list[PartCost]) -> PartCost:
    """The sum of some rows."""
    one_cycle = all_cycles = Macs()
    for row in rows:
        one_cycle, all_cycles = one_cycle.plus(row.one_cycle), all_cycles.plus(row.all_cycles)
    return PartCost(
        "total", sum(row.params for row in rows), sum(row.trainable for row in rows), one_cycle, all_cycles
    )


def count_macs(model: SDPose, image_size_hw: tuple[int, int], num_cycles: int) -> dict[str, Macs]:
    """Multiply-adds of one image by part, from one pass of shapes through the model."""
    shadow = copy.deepcopy(model).to("meta").train()
    costs: dict[str, Macs] = {}

    def add(name: str, cost: Macs) -> None:
        costs[part_of(name)] = costs.get(part_of(name), Macs()).plus(cost)

    def listen(name: str, module: nn.Module, cost: Callable[[Any, Tensor], Macs]) -> None:
        module.register_forward_hook(lambda module, _, output: add(name, cost(module, output)))

    for name, module in shadow.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            # Also where `norm_eval` says otherwise: a norm that is folded into its convolution is not seen. Its output
            # has the shape of its input, and without a device it is computed by pages of Python: half of all the time.
            module.train()
            module.forward = torch.empty_like  # type: ignore[method-assign]
        if cost := COSTS.get(type(module)):
            listen(name, module, cost)
    first = next(module for module in shadow.backbone.modules() if isinstance(module, nn.Conv2d))
    shadow.forward_cycles(torch.empty(1, first.in_channels, *image_size_hw, device="meta"), num_cycles)
    # The Linear of the patch embedding works as a convolution, past its own call.
    embedding = model.head.patch_to_embedding.weight.numel() * model.head.pos_embedding.shape[1]
    add("keypoint_head.tokenpose.patch_to_embedding", Macs(embedding, embedding))
    return costs


def conv_cost(conv: nn.Conv2d, output: Tensor) -> Macs:
    """Each output value is a sum over a window of the input channels."""
    macs = output.numel() * conv.weight[0].numel()
    return Macs(macs, macs)


def linear_cost(linear: nn.Linear, output: Tensor) -> Macs:
    """Each output value is a sum over all inputs."""
    macs = output.numel() * linear.in_features
    return Macs(macs, macs)


def attention_cost(attention: Attention, output: Tensor) -> Macs:
    """Logits and weighted sum, T x T x D each; the projections before and after are Linear layers of their own."""
    batch, num_tokens, dim = output.shape
    return Macs(0, 2 * batch * num_tokens**2 * dim)


def norm_cost(norm: nn.Module, output: Tensor) -> Macs:
    """Two for each value, to mmcv's counter alone."""
    return Macs(2 * output.numel(), 0)


def elementwise_cost(step: nn.Module, output: Tensor) -> Macs:
    """One for each value, to mmcv's counter alone."""
    return Macs(output.numel(), 0)


COSTS: dict[type[nn.Module], Callable[[Any, Tensor], Macs]] = {
    nn.Conv2d: conv_cost,
    nn.Linear: linear_cost,
    Attention: attention_cost,
    nn.BatchNorm2d: norm_cost,
    nn.LayerNorm: norm_cost,
    nn.ReLU: elementwise_cost,
    nn.Upsample: elementwise_cost,
}


def part_of(name: str) -> str:
    """The row that a module or parameter belongs to, from its dotted name."""
    room, child, *rest = name.split(".")
    if room == "backbone":
        return child if child in BACKBONE_STAGES else "stem"
    # keypoint_head.tokenpose.<child>..., keypoint_head.tokenpose.transformer_layer1.layers.<block>.<0 or 1>...
    if rest[0] == "transformer_layer1":
        return "attention" if rest[3] == "0" else "feed-forward"
    return HEAD_PARTS[rest[0]]


BACKBONE_STAGES = ("layer1", "transition1", "stage2", "transition2", "stage3")
HEAD_PARTS = {
    "keypoint_token": "keypoint tokens",
    "pos_embedding": "positions (fixed)",
    "patch_to_embedding": "patch embedding",
    "mlp_head": "heatmap layers",
}
PARTS = (
    "stem",
    *BACKBONE_STAGES,
    "patch embedding",
    "positions (fixed)",
    "keypoint tokens",
    "attention",
    "feed-forward",
    "heatmap layers",
)
