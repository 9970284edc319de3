"""The look at every tensor names the one that is wrong, forward, backward and among the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from planted_faults import tiny_config

from sdpose.assemble.machine import choose_machine
from sdpose.assemble.user_code import UserCode
from sdpose.config.settings import load_settings
from sdpose.explain.bench import Bench
from sdpose.explain.layers import Look, look
from sdpose.explain.step_size import LineSearch, line_search, one_digit_below
from sdpose.training.distributed import World


@pytest.fixture
def bench(tmp_path: Path, people: Path) -> Bench:
    torch.manual_seed(0)
    settings = load_settings(tiny_config(tmp_path, people))
    return Bench(settings, UserCode(), choose_machine(settings, World().device), seed=1)


def fill_in(bench: Bench, name: str, value: float) -> None:
    with torch.no_grad():
        bench.model.state_dict()[name][0].fill_(value)


def test_a_healthy_pass_has_nothing_wrong(bench: Bench) -> None:
    first, second, third = islice(bench.batches(), 3)
    looks = [look(bench, batch) for batch in (first, second, third)]
    assert all(one.first_not_finite() is None for one in looks)
    assert looks[0].first_extreme(looks[1:]) is None
    phases = {phase for phase, _ in looks[0].sizes}
    assert phases == {"target", "weights", "forward", "loss", "backward"}
    # Both cycles, the patch embedding that no module computes, and every parameter's gradient.
    names = {name for _, name in looks[0].sizes}
    assert "keypoint_head.tokenpose.transformer_layer1.layers.0.1.fn.fn.net.3 (cycle 2)" in names
    assert "keypoint_head.tokenpose.patch_to_embedding" in names
    trained = {f"{name}.grad" for name, p in bench.model.named_parameters() if p.requires_grad}
    assert trained <= names


@pytest.mark.parametrize(
    "name", ["backbone.conv2.weight", "keypoint_head.tokenpose.mlp_head.1.bias", "backbone.bn1.running_mean"]
)
def test_a_broken_tensor_is_named(bench: Bench, name: str) -> None:
    (batch,) = islice(bench.batches(), 1)
    fill_in(bench, name, math.nan)
    place = look(bench, batch).first_not_finite()
    assert place is not None
    assert (place.layer, place.phase, place.fault) == (name, "weights", "non_finite")


def test_a_layer_that_explodes_is_the_first_extreme(bench: Bench) -> None:
    first, second, third = islice(bench.batches(), 3)
    usual = [look(bench, batch) for batch in (second, third)]
    layer = bench.model.get_submodule("keypoint_head.tokenpose.transformer_layer1.layers.0.0.fn.fn.to_qkv")

    def explode(_: object, __: object, out: torch.Tensor) -> torch.Tensor:
        return out * 1e4

    layer.register_forward_hook(explode)
    place = look(bench, first).first_extreme(usual)
    assert place is not None
    assert place.layer == "keypoint_head.tokenpose.transformer_layer1.layers.0.0.fn.fn.to_qkv"
    assert (place.phase, place.fault) == ("forward", "extreme")
    assert place.usual is not None
    assert place.value > 1e3 * place.usual


def test_a_gradient_that_breaks_is_found_where_it_begins(bench: Bench) -> None:
    """sqrt at 0 has a value and no slope."""

    class Root(torch.nn.Module):
        def forward(self, cycles: list, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return (cycles[0].heatmaps * 0).sqrt().sum()

    bench.criterion.extra["loss_root"] = Root()  # type: ignore[operator,index]
    (batch,) = islice(bench.batches(), 1)
    found = look(bench, batch)
    place = found.first_not_finite()
    assert place is not None
    assert (place.phase, place.fault) == ("backward", "non_finite")
    assert place.layer == "keypoint_head.tokenpose.mlp_head.1"
    assert all(math.isfinite(size) for (phase, _), size in found.sizes.items() if phase != "backward")


@pytest.mark.parametrize(
    ("sizes", "others", "name"),
    [
        ({}, [], None),
        ({"a": 1.0}, [], None),
        ({"a": 1.0, "b": 50.0}, [{"a": 1.0, "b": 1.0}], "b"),
        ({"a": 9.0}, [{"a": 1.0}], None),
        ({"a": 0.0}, [{"a": 0.0}], None),
        ({"a": math.inf}, [{"a": 1.0}], "a"),
        # Where the others differ by much, more is needed.
        ({"a": 1e4}, [{"a": 1.0}, {"a": 100.0}, {"a": 1e4}], None),
        ({"a": 50.0}, [{"a": math.nan}, {"a": 1.0}], "a"),
    ],
)
def test_extreme_is_measured_against_the_others(
    sizes: dict[str, float], others: list[dict[str, float]], name: str | None
) -> None:
    def a_look(values: dict[str, float]) -> Look:
        return Look({("forward", key): value for key, value in values.items()})

    place = a_look(sizes).first_extreme([a_look(one) for one in others])
    assert (place.layer if place else None) == name


def first_step(bench: Bench, lr: float) -> Callable[[], LineSearch | None]:
    bench.schedule = type(bench.schedule)(base_lr=lr, total_epochs=2, policy="fixed")
    batch, other = islice(bench.batches(), 2)
    return lambda: line_search(bench, bench.freeze(), batch, [other])


def test_the_stable_rate_does_not_depend_on_the_runs(bench: Bench) -> None:
    found = []
    for lr in (1e-4, 1.0, 1e20):
        search = first_step(bench, lr)()
        assert search is not None
        found.append(search)
    low, high, absurd = found
    assert (low.is_too_high, high.is_too_high, absurd.is_too_high) == (False, True, True)
    assert high.stable_lr == pytest.approx(absurd.stable_lr, rel=0.1)
    assert 1e-4 < high.stable_lr < 1.0
    better = high.better_base(1.0)
    assert better <= high.stable_lr / 2
    assert better == float(f"{better:.0e}")


def test_a_search_without_a_gradient_has_no_answer(bench: Bench) -> None:
    fill_in(bench, "backbone.conv1.weight", math.nan)
    assert first_step(bench, 1e-3)() is None


@pytest.mark.parametrize(("value", "below"), [(0.0167, 0.01), (0.03, 0.03), (2.9e-5, 2e-5), (7.0, 7.0)])
def test_a_rate_is_rounded_down_to_one_digit(value: float, below: float) -> None:
    assert one_digit_below(value) == below
