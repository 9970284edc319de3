"""Optimizer state moves between our runs and official ones by parameter index."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from training_samples import FROZEN_INDEX, TinyNet, train, trained

from sdpose.errors import SdposeError
from sdpose.training.optim import (
    build_optimizer,
    clip_gradients,
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
)


@pytest.mark.parametrize(
    ("type", "options"),
    [("Adam", {}), ("AdamW", {"weight_decay": 0.05}), ("SGD", {"momentum": 0.9, "nesterov": True})],
)
def test_a_resumed_optimizer_steps_as_if_never_interrupted(type: str, options: dict[str, Any]) -> None:
    whole, _ = trained(type=type, steps=6, **options)
    model, optimizer = trained(type=type, steps=3, **options)
    resumed = TinyNet()
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    continued = build_optimizer(resumed, type, 1e-2, **options)
    assert load_optimizer_state(continued, optimizer_state(optimizer), source="x.pth") == []
    train(resumed, continued, steps=3, first=3)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_indices_count_the_frozen_position_table_which_has_no_state() -> None:
    model, optimizer = trained()
    state = optimizer_state(optimizer)
    assert state["param_groups"][0]["params"] == list(range(len(list(model.parameters()))))
    assert set(state["state"]) == set(range(7)) - {FROZEN_INDEX}
    assert state["param_groups"][0]["initial_lr"] == 1e-2


def test_plain_torch_adam_loads_our_state_and_steps_alike() -> None:
    model, optimizer = trained()
    other = TinyNet()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    official = torch.optim.Adam(other.parameters(), lr=1.0)
    official.load_state_dict(optimizer_state(optimizer))
    train(model, optimizer, steps=1, first=2)
    train(other, official, steps=1, first=2)
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), other.parameters(), strict=True)
    )


def test_an_old_official_state_with_plain_step_counts_and_few_group_keys_loads() -> None:
    model, optimizer = trained()
    old = optimizer_state(optimizer)
    for entry in old["state"].values():
        entry["step"] = int(entry["step"])
    kept = ("lr", "betas", "eps", "weight_decay", "amsgrad", "initial_lr", "params")
    old["param_groups"] = [{key: old["param_groups"][0][key] for key in kept}]
    other = TinyNet()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    continued = build_optimizer(other, "Adam", 1e-2)
    assert load_optimizer_state(continued, old, source="epoch_2.pth") == []
    train(model, optimizer, steps=1, first=2)
    train(other, continued, steps=1, first=2)
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize("fused", [False, True])
def test_moments_take_the_memory_format_of_the_model(fused: bool) -> None:
    """Fused CPU kernels ignore strides: contiguous moments beside channels_last weights would train
    wrongly."""
    model, optimizer = trained()
    straight = TinyNet()
    straight.load_state_dict(copy.deepcopy(model.state_dict()))
    reference = build_optimizer(straight, "Adam", 1e-2, fused=fused)
    load_optimizer_state(reference, optimizer_state(optimizer), source="x.pth")
    turned = TinyNet().to(memory_format=torch.channels_last)
    turned.load_state_dict(model.state_dict())
    continued = build_optimizer(turned, "Adam", 1e-2, fused=fused)
    load_optimizer_state(continued, optimizer_state(optimizer), source="x.pth")
    moment = continued.state[turned.conv.weight]["exp_avg"]
    assert moment.stride() == turned.conv.weight.stride()
    for entry in (straight, turned):
        for parameter in entry.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.full_like(parameter, 0.5)
    reference.step()
    continued.step()
    assert torch.allclose(straight.conv.weight, turned.conv.weight, rtol=1e-6, atol=0)


@pytest.mark.parametrize("of_gradient", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_moments", [torch.contiguous_format, torch.channels_last])
def test_fused_adam_on_the_cpu_is_wrong_exactly_where_memory_formats_differ(
    of_gradient: torch.memory_format, of_moments: torch.memory_format
) -> None:
    """Why it is not taken there. When torch mends it, this fails, and it may be taken."""

    def stepped(fused: bool) -> torch.Tensor:
        torch.manual_seed(0)
        weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
        values = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3), torch.rand(4, 3, 3, 3)
        weight.grad = values[0].contiguous(memory_format=of_gradient)
        first, second = (value.contiguous(memory_format=of_moments) for value in values[1:])
        optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
        optimizer.state[weight] = {"step": torch.tensor(3.0), "exp_avg": first, "exp_avg_sq": second}
        optimizer.step()
        return weight.detach()

    difference = (stepped(fused=True) - stepped(fused=False)).abs().max().item()
    if of_gradient == of_moments == torch.channels_last:
        assert difference < 1e-6
    else:
        assert difference > 1e-2


def test_the_choice_of_kernel_is_this_machines_and_not_the_files() -> None:
    model, optimizer = trained(fused=True)
    state = optimizer_state(optimizer)
    assert state["param_groups"][0]["fused"] is None
    continued = build_optimizer(model, "Adam", 1e-2, fused=True)
    load_optimizer_state(continued, state, source="x.pth")
    assert continued.param_groups[0]["fused"] is True


def test_values_that_the_checkpoint_overrides_are_said() -> None:
    model, optimizer = trained()
    continued = build_optimizer(model, "Adam", 5e-4, weight_decay=0.1)
    notes = load_optimizer_state(continued, optimizer_state(optimizer), source="epoch_5.pth")
    assert continued.param_groups[0]["initial_lr"] == 1e-2
    assert notes == [
        "epoch_5.pth was trained with weight_decay 0; going on with that, not with the config's 0.1",
        "epoch_5.pth was trained with learning rate 0.01; going on with that, not with the config's 0.0005",
    ]


def test_the_states_tensors_are_not_shared_with_the_running_optimizer() -> None:
    model, optimizer = trained()
    state = optimizer_state(optimizer)
    continued = build_optimizer(model, "Adam", 1e-2)
    load_optimizer_state(continued, state, source="x.pth")
    before = state["state"][1]["exp_avg"].clone()
    train(model, continued, steps=1)
    assert torch.equal(state["state"][1]["exp_avg"], before)


def two_groups(state: dict[str, Any]) -> None:
    group = state["param_groups"][0]
    state["param_groups"] = [{**group, "params": [0]}, {**group, "params": [1, 2, 3, 4, 5, 6]}]


def other_shape(state: dict[str, Any]) -> None:
    state["state"][1]["exp_avg"] = torch.zeros(5)


def unlisted_index(state: dict[str, Any]) -> None:
    state["state"][99] = state["state"][1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (dict.clear, "holds no optimizer state"),
        (two_groups, "parameter groups of sizes [1, 6], this model needs [7]"),
        (other_shape, "exp_avg (5,) for parameter 1, this model has (4, 3, 3, 3)"),
        (unlisted_index, "state for parameter 99"),
        (lambda state: state["param_groups"][0].pop("betas"), "is not Adam, which the config asks for"),
        (lambda state: state["param_groups"][0].update(decoupled_weight_decay=True), "is not Adam"),
    ],
)
def test_a_state_of_something_else_is_refused_with_a_cure(change: Any, told: str) -> None:
    model, optimizer = trained()
    state = optimizer_state(optimizer)
    change(state)
    with pytest.raises(SdposeError) as caught:
        load_optimizer_state(build_optimizer(model, "Adam", 1e-2), state, source="epoch_5.pth")
    assert told in str(caught.value)
    assert "epoch_5.pth" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"type": "Adm"}, "Did you mean 'Adam'?"),
        ({"type": "Adam", "momentum": 0.9}, "optimizer.momentum is no option of Adam"),
        ({"type": "SGD", "wieght_decay": 0.9}, "Did you mean 'weight_decay'?"),
        ({"type": "Adam", "betas": (1.5, 0.9)}, "Adam refuses its settings"),
        ({"type": "Adam", "lr": -1.0}, "Adam refuses its settings"),
    ],
)
def test_wrong_optimizer_settings_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(SdposeError) as caught:
        build_optimizer(TinyNet(), **{"lr": 1e-3, **arguments})
    assert told in str(caught.value)


def test_clipping_gives_the_norm_before_and_scales_to_the_limit() -> None:
    model = TinyNet()
    optimizer = build_optimizer(model, "SGD", 0.1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 2.0)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    norm = clip_gradients(optimizer, max_norm=5.0)
    assert norm.item() == pytest.approx(2.0 * count**0.5)
    after = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert after.item() == pytest.approx(5.0, rel=1e-5)
    assert clip_gradients(optimizer, max_norm=100.0).item() == pytest.approx(5.0, rel=1e-5)


def test_clipping_without_gradients_gives_zero() -> None:
    assert clip_gradients(build_optimizer(TinyNet(), "SGD", 0.1), max_norm=1.0).item() == 0.0


def test_the_learning_rate_is_set_and_the_base_kept() -> None:
    optimizer = build_optimizer(TinyNet(), "Adam", 1e-3)
    set_learning_rate(optimizer, 1e-5)
    assert [(group["lr"], group["initial_lr"]) for group in optimizer.param_groups] == [(1e-5, 1e-3)]
