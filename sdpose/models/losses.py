"""What SDPose learns from: heatmaps of every cycle against the truth, tokens of each cycle against the next.

Legend: N samples, K keypoints, P visual tokens, D width of a token, h, w rows and columns of a heatmap.
Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sdpose import CycleOutput


class SDPoseLoss(nn.Module):
    """The named loss terms of one batch (spec 4).

    `extra` adds a user's own terms: each module is called with the same three arguments and gives a scalar. A term
    counts towards the total when its name contains "loss".
    """

    def __init__(
        self,
        heatmap: JointsMSELoss | None = None,
        visual: TokenDistilLoss | None = None,
        keypoint: TokenDistilLoss | None = None,
        extra: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.heatmap = heatmap or JointsMSELoss()
        self.visual = visual or TokenDistilLoss()
        self.keypoint = keypoint or TokenDistilLoss()
        self.extra = nn.ModuleDict(dict(extra or {}))

    def forward(
        self, cycles: Sequence[CycleOutput], target: Tensor, target_weight: Tensor
    ) -> dict[str, Tensor]:
        """One output a cycle, target (N, K, h, w) and its weight (N, K, 1) -> scalar terms by name, weighted.

        Heatmap losses are summed over the cycles, token losses over adjacent pairs of cycles (zero with one cycle).
        """
        heatmap_losses = [self.heatmap(cycle.heatmaps, target, target_weight) for cycle in cycles]
        pairs = list(zip(cycles[:-1], cycles[1:], strict=True))
        zero = target.new_zeros(())
        terms = {
            "heatmap_loss": sum(heatmap_losses, zero),
            "vis_dist_loss": sum((self.visual(a.visual_tokens, b.visual_tokens) for a, b in pairs), zero),
            "kpt_dist_loss": sum(
                (self.keypoint(a.keypoint_tokens, b.keypoint_tokens) for a, b in pairs), zero
            ),
        }
        for name, module in self.extra.items():
            terms[name] = module(cycles, target, target_weight)
        return terms


class JointsMSELoss(nn.Module):
    """Mean squared error of heatmaps; a joint of weight zero costs nothing but stays in the denominator."""

    def __init__(self, use_target_weight: bool = True, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(self, heatmaps: Tensor, target: Tensor, target_weight: Tensor | None = None) -> Tensor:
        """Heatmaps and target (N, K, h, w), weight (N, K, 1) -> scalar.

        The weight multiplies the squared difference and is not squared itself.
        """
        difference = heatmaps.float() - target
        per_joint = difference.square().mean(dim=(2, 3))  # (N, K)
        if self.use_target_weight and target_weight is not None:
            per_joint = per_joint * target_weight[..., 0]
        return per_joint.mean() * self.loss_weight


class TokenDistilLoss(nn.Module):
    """Mean squared error between the tokens of two cycles; both learn from it, neither is detached (spec 1, item 1)."""

    def __init__(self, loss_weight: float = 5e-6) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Tokens (N, K or P, D) of cycle i and of cycle i + 1 -> scalar."""
        return F.mse_loss(student.float(), teacher.float()) * self.loss_weight


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """Sum of all terms whose name contains "loss": what is minimised."""
    losses = [value for name, value in terms.items() if "loss" in name]
    return torch.stack(losses).sum()


@torch.no_grad()
def pose_accuracy(cycles: Sequence[CycleOutput], target: Tensor, target_weight: Tensor) -> Tensor:
    """`acc_pose`: fraction of joints whose heatmap peak lies within 5 % of the target's, a scalar in 0..1.

    Of the last cycle but one, as published: cycle 1 of two, cycle 2 of three (and cycle 1 of one). Averaged over samples
    for each joint that is visible at all, then over those joints; 0 when none is.
    """
    heatmaps = cycles[max(len(cycles) - 2, 0)].heatmaps
    rows, columns = heatmaps.shape[2:]
    # Published quirk: x is divided by the number of rows and y by the number of columns.
    size = torch.tensor((rows, columns), dtype=torch.float32).to(heatmaps.device, non_blocking=True)
    distance = ((peaks(heatmaps) - peaks(target)) / size).norm(dim=-1)  # (N, K)
    visible = target_weight[..., 0] > 0  # (N, K)
    num_visible = visible.sum(dim=0)  # (K,)
    accuracy = ((distance < 0.05) & visible).sum(dim=0) / num_visible.clamp(min=1)  # (K,)
    return accuracy.sum() / (num_visible > 0).sum().clamp(min=1)


def peaks(heatmaps: Tensor) -> Tensor:
    """(N, K, h, w) -> x, y of each maximum (N, K, 2) float32 in heatmap cells; (-1, -1) where the maximum is not positive."""
    maximum, index = heatmaps.flatten(2).max(dim=2)  # (N, K)
    columns = heatmaps.shape[3]
    position = torch.stack((index % columns, index // columns), dim=-1).float()  # (N, K, 2)
    return position.where(maximum[..., None] > 0, -1.0)
