"""The pre-norm transformer that every cycle shares, and the sine table of its visual tokens.

Legend: B batch, T tokens, D width of a token, S heads, d = D / S width of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Transformer(nn.Module):
    """`depth` blocks of attention and feed-forward, with the positions added again between the blocks.

    There is no final norm: what the last block gives is what the losses compare (spec 1, item 5).
    """

    def __init__(self, dim: int, depth: int, heads: int, mlp_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Block(
                Residual(PreNorm(dim, Attention(dim, heads, dropout))),
                Residual(PreNorm(dim, FeedForward(dim, mlp_dim, dropout))),
            )
            for _ in range(depth)
        )

    def forward(self, tokens: Tensor, positions: Tensor, num_wanted: int | None = None) -> Tensor:
        """Tokens (B, T, D) and positions (1, T, D), zero where a token has none -> tokens (B, T, D).

        Block 0 gets the tokens as they are (spec 2.4). `tokens` itself is never written to. `num_wanted` W asks for the
        first tokens only, (B, W, D): the last block then computes no others.
        """
        last = len(self.layers) - 1
        for index, block in enumerate(self.layers):
            if index > 0:
                # In place on the sum that the block before has just made; nobody else holds it.
                tokens = tokens.add_(positions)
            tokens = block(tokens) if num_wanted is None or index < last else block(tokens, num_wanted)
        return tokens


class Block(nn.Sequential):
    """Attention, then feed-forward, each added to what it looks at; state dict keys "0." and "1."."""

    def forward(self, tokens: Tensor, num_wanted: int | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, W, D) of the first W tokens alone."""
        attend, feed = self
        return feed(attend(tokens) if num_wanted is None else attend(tokens, num_wanted))


class Residual(nn.Module):
    """x + fn(x); with W wanted tokens, their part of it."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, num_wanted: int | None = None) -> Tensor:
        return x + self.fn(x) if num_wanted is None else x[:, :num_wanted] + self.fn(x, num_wanted)


class PreNorm(nn.Module):
    """fn(LayerNorm(x))."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = fn

    def forward(self, x: Tensor, num_wanted: int | None = None) -> Tensor:
        return self.fn(self.norm(x)) if num_wanted is None else self.fn(self.norm(x), num_wanted)


class Attention(nn.Module):
    """Every token attends to all; fused, so no attention map ever exists in memory."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, dim * 3, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(dropout))

    def forward(self, x: Tensor, num_wanted: int | None = None) -> Tensor:
        """(B, T, D) -> (B, T, D), or (B, W, D): what the first W tokens take from all."""
        query, key, value = self._project(x, num_wanted)  # (B, S, T or W, d), (B, S, T, d) twice
        out = attend(query, key, value)  # (B, S, T or W, d), logits times d ** -0.5
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _project(self, x: Tensor, num_wanted: int | None) -> tuple[Tensor, Tensor, Tensor]:
        heads = (self.heads, x.shape[2] // self.heads)
        if num_wanted is None:
            query, key, value = self.to_qkv(x).unflatten(2, (3, *heads)).transpose(1, 3).unbind(2)
            return query, key, value
        for_query, for_others = self.to_qkv.weight.tensor_split([x.shape[2]])  # (D, D), (2 D, D)
        query = F.linear(x[:, :num_wanted], for_query).unflatten(2, heads).transpose(1, 2)
        key, value = F.linear(x, for_others).unflatten(2, (2, *heads)).transpose(1, 3).unbind(2)
        return query, key, value


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """torch's fused attention: (B, S, Q, d), (B, S, T, d) twice -> (B, S, Q, d).

    Its backward on a CPU takes nearly twice as long in bfloat16 as in float32 and would be half of a bfloat16 training
    step, so that there attention alone computes in float32.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad:
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    return F.scaled_dot_product_attention(query, key, value)


class FeedForward(nn.Module):
    """Linear, exact (erf) GELU, Linear."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.net(x)


def sine_positions(rows: int, columns: int, dim: int, temperature: float = 10000.0) -> Tensor:
    """Fixed positions (1, rows * columns, dim) float32 of a patch grid, row-major (spec 2.5).

    The first half of a token says its row, the second half its column; sine and cosine alternate.
    """
    eps, scale, half = 1e-6, 2 * math.pi, dim // 2
    y = torch.arange(1, rows + 1, dtype=torch.float32) / (rows + eps) * scale  # (rows,)
    x = torch.arange(1, columns + 1, dtype=torch.float32) / (columns + eps) * scale  # (columns,)
    channel = torch.arange(half, dtype=torch.float32)
    period = temperature ** (2 * torch.div(channel, 2, rounding_mode="floor") / half)  # (half,)

    def interleave(angle: Tensor) -> Tensor:
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    of_row = interleave(y[:, None] / period)  # (rows, half)
    of_column = interleave(x[:, None] / period)  # (columns, half)
    table = torch.cat(
        (
            of_row[:, None].expand(rows, columns, half),
            of_column[None].expand(rows, columns, half),
        ),
        dim=2,
    )  # (rows, columns, dim)
    return table.reshape(1, rows * columns, dim)
