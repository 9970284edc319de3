"""What SDPose learns from: heatmaps of every cycle against the truth, tokens of each cycle against the next (spec 4).

Legend: N samples, K keypoints, P visual tokens, D width of a token, h, w rows and columns of a heatmap.
Nothing here waits for the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdpose.models.sdpose import CycleOutput

# A joint counts as found when its peak is nearer to the target's than this fraction of the heatmap.
PCK_THRESHOLD = 0.05


class SDPoseLoss(nn.Module):
    """The named loss terms of one batch.

    `heatmap` is called with (heatmaps, target, weight), `visual` and `keypoint` with (student, teacher) tokens. `extra`
    adds a user's own terms, each called like this module and giving a scalar; it counts towards the total when its name
    contains "loss".
    """

    def __init__(
        self,
        heatmap: nn.Module | None = None,
        visual: nn.Module | None = None,
        keypoint: nn.Module | None = None,
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
        """One output a cycle, target (N, K, h, w) and weight (N, K, 1) float32 -> weighted scalars by name.

        Heatmap losses are summed over the cycles, token losses over adjacent pairs of cycles (zero with one cycle).
        """
        zero = target.new_zeros(())
        pairs = list(pairwise(cycles))
        terms = {
            "heatmap_loss": sum(
                (self.heatmap(cycle.heatmaps, target, target_weight) for cycle in cycles), zero
            ),
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

    def forward(self, heatmaps: Tensor, target: Tensor, target_weight: Tensor) -> Tensor:
        """Heatmaps and target (N, K, h, w), weight (N, K, 1) -> scalar.

        The weight multiplies the squared difference and is not squared itself.
        """
        per_joint = (heatmaps - target).square().mean(dim=(2, 3))  # (N, K)
        if self.use_target_weight:
            per_joint = per_joint * target_weight[..., 0]
        return per_joint.mean() * self.loss_weight


class TokenDistilLoss(nn.Module):
    """Mean squared error between the tokens of two cycles. Neither is detached: both move (spec 1, item 1)."""

    def __init__(self, loss_weight: float = 5e-6) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Tokens (N, K or P, D) of cycle i and of cycle i + 1 -> scalar."""
        return F.mse_loss(student, teacher) * self.loss_weight


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """What is minimised: the sum of all terms whose name contains "loss"."""
    return torch.stack([value for name, value in terms.items() if "loss" in name]).sum()


@torch.no_grad()
def pose_accuracy(cycles: Sequence[CycleOutput], target: Tensor, target_weight: Tensor) -> Tensor:
    """`acc_pose`: how many heatmap peaks lie within 5 % of the target's, a scalar in 0..1.

    As published it looks at the last cycle but one: cycle 1 of two, cycle 2 of three (at the only one if there is one).
    The mean is taken over the samples in which a joint is visible, then over the joints visible at all; 0 without any.
    """
    heatmaps = cycles[max(len(cycles) - 2, 0)].heatmaps
    rows, columns = heatmaps.shape[2:]
    x, y = (peaks(heatmaps) - peaks(target)).unbind(dim=-1)  # (N, K) each
    # A quirk of the published code: x is divided by the rows and y by the columns.
    near = (x / rows).square() + (y / columns).square() < PCK_THRESHOLD**2  # (N, K)
    visible = target_weight[..., 0] > 0  # (N, K)
    num_visible = visible.sum(dim=0)  # (K,)
    accuracy = (near & visible).sum(dim=0) / num_visible.clamp(min=1)  # (K,)
    return accuracy.sum() / (num_visible > 0).sum().clamp(min=1)


def peaks(heatmaps: Tensor) -> Tensor:
    """(N, K, h, w) -> x, y of each maximum (N, K, 2) float32 in heatmap cells; (-1, -1) where no cell is positive."""
    maximum, index = heatmaps.flatten(2).max(dim=2)  # (N, K)
    columns = heatmaps.shape[3]
    position = torch.stack((index % columns, index // columns), dim=-1).float()  # (N, K, 2)
    return position.where(maximum[..., None] > 0, -1.0)
