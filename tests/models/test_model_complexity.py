"""The count of parameters and multiply-adds gives the published and the measured figures."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sdpose.errors import SdposeError
from sdpose.models import VARIANTS, create_model
from sdpose.models.complexity import PartCost, count


@cache
def count_published(name: str) -> list[PartCost]:
    return count(create_model(name), (256, 192))


@pytest.mark.parametrize(
    ("name", "params", "one_cycle", "all_cycles"),
    [
        ("sdpose_t", (4_447_680, 4_398_528), (1.799, 1.951), (3.052, 3.544)),
        ("sdpose_s_v1", (6_669_888, 6_620_736), (2.404, 2.726), (3.635, 4.298)),
        ("sdpose_s_v2", (6_374_976, 6_227_520), (4.674, 7.487), (8.175, 13.821)),
        ("sdpose_b", (13_195_136, 13_145_984), (5.164, 5.471), (6.396, 7.043)),
    ],
)
def test_figures_of_the_published_models(
    name: str, params: tuple[int, int], one_cycle: tuple[float, float], all_cycles: tuple[float, float]
) -> None:
    total = count_published(name)[-1]
    assert total.part == "total"
    assert (total.params, total.trainable) == params
    # The specification's 4.299 for S-V1 is 4.2985 rounded up.
    assert tuple(round(value / 1e9, 3) for value in total.one_cycle) == one_cycle
    assert tuple(round(value / 1e9, 3) for value in total.all_cycles) == all_cycles


@pytest.mark.parametrize("name", VARIANTS)
def test_parts_add_up_and_stand_in_reading_order(name: str) -> None:
    *parts, total = count_published(name)
    stages = ["transition1", "stage2", "transition2", "stage3"] if name == "sdpose_b" else []
    assert [row.part for row in parts] == [
        "stem",
        "layer1",
        *stages,
        "patch embedding",
        "positions (fixed)",
        "keypoint tokens",
        "attention",
        "feed-forward",
        "heatmap layers",
    ]
    assert sum(row.params for row in parts) == total.params
    assert sum(row.all_cycles.macs for row in parts) == total.all_cycles.macs


@pytest.mark.parametrize("name", ["sdpose_t", "sdpose_b"])
def test_half_of_what_torchs_flop_counter_says(name: str) -> None:
    model = create_model(name, depth=1).to("meta").train()
    counter = FlopCounterMode(display=False)
    with counter:
        model.forward_cycles(torch.empty(1, 3, 256, 192, device="meta"))
    assert count(model, (256, 192))[-1].all_cycles.macs_with_attention * 2 == counter.get_total_flops()


def test_the_model_is_left_as_it_was() -> None:
    model = create_model("sdpose_t", depth=1, norm_eval=True).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with_norm_eval = count(model, (256, 192))
    assert not model.training
    assert all(model.state_dict()[key].equal(value) for key, value in before.items())
    assert not [module for module in model.modules() if module._forward_hooks]
    assert with_norm_eval == count(create_model("sdpose_t", depth=1), (256, 192))


def test_another_image_size_is_refused() -> None:
    with pytest.raises(SdposeError, match="give images of four times that size"):
        count(create_model("sdpose_t", depth=1), (128, 96))
