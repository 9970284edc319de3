"""SDPose on a StemNet as the published code computes it, written from the specification (sections 2 and 4).

Every step is its own pass over contiguous memory: batch norm after its convolution, patches copied before their Linear,
attention written out, every block's attention map kept until the end, the mirror image in a second pass, Adam parameter
by parameter. Weights are those of one of our models, so that a test can hold the two to the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdpose.models import SDPose


class PlainOutput(NamedTuple):
    """One cycle: heatmaps (B, K, h, w), tokens (B, K, D) and (B, P, D), the last block's attention map."""

    heatmaps: Tensor
    keypoint_tokens: Tensor
    visual_tokens: Tensor
    attention: Tensor


def plain_cycles(model: SDPose, images: Tensor) -> list[PlainOutput]:
    """Normalised images (B, 3, H, W) -> all cycles, in training and in evaluation alike."""
    head = model.head
    x = _stem(model.backbone, images.contiguous())
    (rows, columns), (height, width) = head.patch_size_hw, x.shape[2:]
    patches = x.unflatten(2, (height // rows, rows)).unflatten(4, (width // columns, columns))
    patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)  # (B, P, rows * columns * C)
    visual = head.patch_to_embedding(patches)
    visual = visual + head.pos_embedding
    tokens = torch.cat((head.keypoint_token.expand(len(visual), -1, -1), visual), dim=1)
    outputs, kept = [], []
    for _ in range(head.cycle_num):
        for index, block in enumerate(head.transformer_layer1.layers):
            if index:
                num = head.num_keypoints
                tokens = torch.cat((tokens[:, :num], tokens[:, num:] + head.pos_embedding), dim=1)
            attend, feed = block[0].fn, block[1].fn
            out, attention = _attention(attend.fn, attend.norm(tokens))
            kept.append(attention)
            tokens = tokens + out
            tokens = tokens + feed.fn.net(feed.norm(tokens))
        keypoints, visual = tokens[:, : head.num_keypoints], tokens[:, head.num_keypoints :]
        heatmaps = head.mlp_head(keypoints).unflatten(2, head.heatmap_size_hw)
        outputs.append(PlainOutput(heatmaps, keypoints, visual, kept[-1]))
    return outputs


def plain_heatmaps(model: SDPose, images: Tensor) -> Tensor:
    """Heatmaps of cycle 1, after all cycles were computed."""
    return plain_cycles(model, images)[0].heatmaps


def plain_losses(cycles: list[PlainOutput], target: Tensor, weight: Tensor) -> Tensor:
    """The total loss, joint by joint and cycle by cycle."""
    total = target.new_zeros(())
    num_joints = target.shape[1]
    for cycle in cycles:
        for joint in range(num_joints):
            difference = (cycle.heatmaps[:, joint] - target[:, joint]).flatten(1)
            total = total + (difference.square() * weight[:, joint]).mean() / num_joints
    for student, teacher in zip(cycles[:-1], cycles[1:], strict=True):
        total = total + 5e-6 * F.mse_loss(student.visual_tokens, teacher.visual_tokens)
        total = total + 5e-6 * F.mse_loss(student.keypoint_tokens, teacher.keypoint_tokens)
    return total


def plain_training_step(
    model: SDPose, images: Tensor, target: Tensor, weight: Tensor
) -> Callable[[], Tensor]:
    """Forward, losses, backward, Adam parameter by parameter; each call gives the loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, foreach=False, fused=False)

    def run() -> Tensor:
        loss = plain_losses(plain_cycles(model.train(), images), target, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return run


def _stem(stem: nn.Module, x: Tensor) -> Tensor:
    x = F.relu(stem.bn1(stem.conv1(x)))
    x = F.relu(stem.bn2(stem.conv2(x)))
    for block in stem.layer1:
        shortcut = x if block.downsample is None else block.downsample[1](block.downsample[0](x))
        y = F.relu(block.bn1(block.conv1(x)))
        y = F.relu(block.bn2(block.conv2(y)))
        x = F.relu(block.bn3(block.conv3(y)) + shortcut)
    return x


def _attention(attention: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, D) -> (B, T, D) and the map (B, S, T, T)."""
    query, key, value = attention.to_qkv(x).chunk(3, dim=-1)
    query, key, value = (
        part.unflatten(2, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value)
    )
    logits = torch.matmul(query, key.transpose(2, 3)) * query.shape[-1] ** -0.5  # (B, S, T, T)
    weights = logits.softmax(dim=-1)
    out = torch.matmul(weights, value).transpose(1, 2).flatten(2)
    return attention.to_out(out), weights
