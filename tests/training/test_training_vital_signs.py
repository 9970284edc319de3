"""Vital signs: what healthy, dead and broken models show."""

from __future__ import annotations

import math

import pytest
import torch
from training_samples import trained

from sdpose.training.machine_signs import machine_signs, rank_spread
from sdpose.training.vital_signs import output_signs, weight_signs


def floats(signs: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in signs.items()}


def test_peaks_of_heatmaps() -> None:
    heatmaps = torch.zeros(2, 2, 3, 4)
    heatmaps[0, 0, 1, 1] = 0.9
    heatmaps[1, 1, 2, 3] = 0.3
    heatmaps[1, 0] = 0.04
    signs = floats(output_signs(heatmaps, torch.zeros(2, 2, 5), torch.zeros(2, 6, 5)))
    assert signs == pytest.approx(
        {
            "heatmap_peak": (0.9 + 0.3 + 0.04) / 4,
            "heatmap_flat": 0.5,
            "heatmap_max": 0.9,
            "kpt_token_std": 0.0,
            "vis_token_std": 0.0,
        }
    )


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_token_spread_is_the_standard_deviation_over_the_batch(offset: float) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(6, 3, 5, generator=generator) * 0.01
    seen = floats(output_signs(torch.zeros(6, 2, 3, 4), tokens + offset, tokens + offset))
    exact = float((tokens + offset).double().std(dim=0, unbiased=False).mean())
    assert seen["kpt_token_std"] == seen["vis_token_std"] == pytest.approx(exact, rel=1e-3)


def test_tokens_that_ignore_the_image_have_no_spread() -> None:
    tokens = torch.randn(1, 3, 5).expand(6, -1, -1)
    assert floats(output_signs(torch.zeros(6, 2, 3, 4), tokens, tokens))["kpt_token_std"] == 0.0


def test_one_image_alone_has_no_spread_to_speak_of() -> None:
    signs = output_signs(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 5), torch.zeros(1, 6, 5))
    assert set(signs) == {"heatmap_peak", "heatmap_flat", "heatmap_max"}


def test_a_broken_output_is_seen_in_its_peak() -> None:
    heatmaps = torch.full((2, 2, 3, 4), 0.5)
    heatmaps[0, 0, 0, 0] = math.nan
    assert math.isnan(
        floats(output_signs(heatmaps, torch.zeros(2, 2, 5), torch.zeros(2, 6, 5)))["heatmap_peak"]
    )


def test_weights_and_moments_are_looked_at() -> None:
    model, optimizer = trained()
    norm = math.sqrt(sum(float(p.detach().double().square().sum()) for p in model.parameters()))
    assert floats(weight_signs(model, optimizer)) == {
        "weight_norm": pytest.approx(norm),
        "weights_broken": 0.0,
    }
    with torch.no_grad():
        model.head.weight[0, 0] = 1e30
    assert floats(weight_signs(model, optimizer)) == {
        "weight_norm": pytest.approx(1e30),
        "weights_broken": 0.0,
    }
    with torch.no_grad():
        model.head.weight[0, 0] = math.inf
        model.norm.running_mean[0] = math.nan
    optimizer.state[model.conv.weight]["exp_avg_sq"][0] = math.inf
    assert floats(weight_signs(model, optimizer))["weights_broken"] == 3.0


@pytest.mark.parametrize(
    ("losses", "spread"),
    [
        ([0.5], 0.0),
        ([0.0, 0.0], 0.0),
        ([1.0, 3.0], 1.0),
        ([1e-6, 1e-6, 4e-6], 1.5),
        ([1.0, math.nan], math.nan),
    ],
)
def test_spread_of_ranks(losses: list[float], spread: float) -> None:
    assert rank_spread(losses) == pytest.approx(spread, nan_ok=True)


def test_the_machine_tells_its_memory_and_disk(tmp_path: object) -> None:
    signs = machine_signs(tmp_path)  # type: ignore[arg-type]
    assert 10 < signs["host_memory"] < 100_000
    assert signs["disk_free_mib"] > 0
