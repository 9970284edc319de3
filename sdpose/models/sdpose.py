"""SDPose (CVPR 2024): a token pose network whose transformer is applied several times and teaches itself.

    image -> backbone -> patch tokens + keypoint tokens -> transformer -> tokens of cycle 1 -> heatmaps
                                                               ^    |
                                                               +----+ cycles 2, 3 ... (training only)

Pass i is the student of pass i + 1 (`losses.TokenDistilLoss`), so that one pass is enough when it is used.

Legend: B batch, H, W rows and columns of the image, C channels and FH, FW rows and columns of the features,
K keypoints, P visual tokens (patches), T = K + P tokens, D width of a token, h, w rows and columns of a heatmap.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdpose.errors import SdposeError
from sdpose.models.conv_norm import convolve
from sdpose.models.transformer import Transformer, sine_positions


class CycleOutput(NamedTuple):
    """What one pass through the transformer gives."""

    heatmaps: Tensor  # (B, K, h, w)
    keypoint_tokens: Tensor  # (B, K, D)
    visual_tokens: Tensor  # (B, P, D)


class SDPose(nn.Module):
    """Backbone and multi-cycled token head; keys of the state dict are those of the published checkpoints.

    Defaults are SDPose-S-V1's. `apply_init=False` leaves the head's Linear layers as PyTorch makes them.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        in_channels: int,
        num_keypoints: int = 17,
        feature_size_hw: tuple[int, int] = (64, 48),
        patch_size_hw: tuple[int, int] = (4, 3),
        dim: int = 192,
        depth: int = 12,
        heads: int = 8,
        mlp_ratio: int = 3,
        heatmap_size_hw: tuple[int, int] = (64, 48),
        cycle_num: int = 2,
        apply_init: bool = True,
        dropout: float = 0.0,
        emb_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        # The level "tokenpose" exists for the published key names only.
        self.keypoint_head = nn.ModuleDict(
            {
                "tokenpose": MultiCycledTokenPose(
                    in_channels=in_channels,
                    num_keypoints=num_keypoints,
                    feature_size_hw=feature_size_hw,
                    patch_size_hw=patch_size_hw,
                    dim=dim,
                    depth=depth,
                    heads=heads,
                    mlp_ratio=mlp_ratio,
                    heatmap_size_hw=heatmap_size_hw,
                    cycle_num=cycle_num,
                    apply_init=apply_init,
                    dropout=dropout,
                    emb_dropout=emb_dropout,
                )
            }
        )

    @property
    def head(self) -> MultiCycledTokenPose:
        """The token head."""
        head = self.keypoint_head["tokenpose"]
        assert isinstance(head, MultiCycledTokenPose)
        return head

    @property
    def cycle_num(self) -> int:
        """How often the transformer is applied in training."""
        return self.head.cycle_num

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) float -> heatmaps of cycle 1 (B, K, h, w).

        Only one cycle is run, and its last block computes the keypoint tokens alone: `forward_cycles` gives the same
        up to rounding.
        """
        return self.head.heatmaps(self.backbone(images))

    def forward_cycles(self, images: Tensor, num_cycles: int | None = None) -> list[CycleOutput]:
        """Normalised images (B, 3, H, W) float -> one output a cycle, the student before its teacher.

        `num_cycles` defaults to the model's `cycle_num`; any other number works too, the weights are shared.
        """
        return self.head(self.backbone(images), self.cycle_num if num_cycles is None else num_cycles)


class MultiCycledTokenPose(nn.Module):
    """TokenPose's head with a transformer that is applied again to its own output (spec 2.4)."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_keypoints: int,
        feature_size_hw: tuple[int, int],
        patch_size_hw: tuple[int, int],
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        heatmap_size_hw: tuple[int, int],
        cycle_num: int,
        apply_init: bool,
        dropout: float,
        emb_dropout: float,
    ) -> None:
        super().__init__()
        check_sizes(feature_size_hw, patch_size_hw, dim, heads, cycle_num)
        rows, columns = (size // patch for size, patch in zip(feature_size_hw, patch_size_hw, strict=True))
        self.in_channels = in_channels
        self.num_keypoints = num_keypoints
        self.patch_size_hw = tuple(patch_size_hw)
        self.feature_size_hw = tuple(feature_size_hw)
        self.heatmap_size_hw = tuple(heatmap_size_hw)
        self.cycle_num = cycle_num

        self.keypoint_token = nn.Parameter(torch.zeros(1, num_keypoints, dim))
        # A parameter that never changes: so it stands in published checkpoints and in their optimizer's list.
        self.pos_embedding = nn.Parameter(sine_positions(rows, columns, dim), requires_grad=False)
        patch_dim = patch_size_hw[0] * patch_size_hw[1] * in_channels
        self.patch_to_embedding = nn.Linear(patch_dim, dim)
        self.dropout = nn.Dropout(emb_dropout)
        self.transformer_layer1 = Transformer(dim, depth, heads, dim * mlp_ratio, dropout)
        self.mlp_head = heatmap_mlp(dim, heatmap_size_hw)

        nn.init.trunc_normal_(self.keypoint_token, std=0.02)
        if apply_init:
            self.apply(init_linear)

    def forward(self, features: Tensor, num_cycles: int) -> list[CycleOutput]:
        """Features (B, C, FH, FW) -> outputs of cycles 1 .. num_cycles."""
        tokens, positions = self.embed(features)
        outputs = []
        for _ in range(num_cycles):
            tokens = self.transformer_layer1(tokens, positions)
            keypoint_tokens = tokens[:, : self.num_keypoints]
            heatmaps = self.mlp_head(keypoint_tokens).unflatten(2, self.heatmap_size_hw)  # (B, K, h, w)
            outputs.append(CycleOutput(heatmaps, keypoint_tokens, tokens[:, self.num_keypoints :]))
        return outputs

    def heatmaps(self, features: Tensor) -> Tensor:
        """Features (B, C, FH, FW) -> heatmaps of cycle 1 (B, K, h, w), without what only later cycles need."""
        keypoint_tokens = self.transformer_layer1(*self.embed(features), self.num_keypoints)  # (B, K, D)
        return self.mlp_head(keypoint_tokens).unflatten(2, self.heatmap_size_hw)  # (B, K, h, w)

    def embed(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, FH, FW) -> tokens (B, T, D) before block 0, and their positions (1, T, D)."""
        visual = self.embed_patches(features) + self.pos_embedding  # (B, P, D)
        keypoints = self.keypoint_token.expand(visual.shape[0], -1, -1)  # (B, K, D)
        tokens = self.dropout(torch.cat((keypoints, visual), dim=1))  # (B, T, D)
        # Keypoint tokens have no position: zeros in front let one addition serve all tokens.
        return tokens, F.pad(self.pos_embedding, (0, 0, self.num_keypoints, 0))

    def embed_patches(self, features: Tensor) -> Tensor:
        """Features (B, C, FH, FW) -> visual tokens (B, P, D), row-major over the patch grid.

        A patch is flattened row by row with the channel fastest. So the Linear's weight, seen as (D, row, column, C),
        is a convolution kernel in channels-last order, and with the patch as stride no patch has to be copied.
        """
        if features.shape[2:] != self.feature_size_hw:
            raise SdposeError(
                f"the backbone gives features of {tuple(features.shape[2:])} (rows, columns), the head is made for "
                f"{self.feature_size_hw}; give images of four times that size or build the model with another size"
            )
        linear = self.patch_to_embedding
        kernel = linear.weight.unflatten(1, (*self.patch_size_hw, self.in_channels))  # (D, row, column, C)
        kernel = kernel.permute(0, 3, 1, 2)  # (D, C, row, column)
        visual = convolve(features, kernel, linear.bias, self.patch_size_hw)  # (B, D, rows, columns)
        return visual.flatten(2).transpose(1, 2)  # (B, P, D)


def heatmap_mlp(dim: int, heatmap_size_hw: tuple[int, int]) -> nn.Sequential:
    """From a keypoint token to its heatmap, flattened row by row; two layers when the token is narrow (spec 2.6)."""
    num_cells = heatmap_size_hw[0] * heatmap_size_hw[1]
    hidden = num_cells // 8
    if dim <= hidden * 0.5:
        return nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.Linear(hidden, num_cells)
        )
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_cells))


def init_linear(module: nn.Module) -> None:
    """Linear weights truncated normal with std 0.02, biases zero, LayerNorm to one and zero (spec 2.8)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def check_sizes(
    feature_size_hw: tuple[int, int], patch_size_hw: tuple[int, int], dim: int, heads: int, cycle_num: int
) -> None:
    """Raises SdposeError unless patches tile the features and heads and sine halves split a token."""
    if any(size % patch for size, patch in zip(feature_size_hw, patch_size_hw, strict=True)):
        raise SdposeError(
            f"patch_size_hw {patch_size_hw} does not divide feature_size_hw {feature_size_hw} (rows, columns); "
            "choose a patch size that does"
        )
    if dim % heads or dim % 4:
        raise SdposeError(f"dim is {dim}; it must be a multiple of heads ({heads}) and of 4")
    if cycle_num < 1:
        raise SdposeError(f"cycle_num is {cycle_num}; at least one cycle is needed")
