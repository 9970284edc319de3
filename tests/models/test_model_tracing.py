"""Compilers and exporters see one graph: no break, no question to the device."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from sdpose.models import SDPoseLoss, create_model, pose_accuracy, total_loss
from sdpose.models.hrnet import Stage
from sdpose.models.transformer import attend

IMAGES = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))


SHORT_HRNET = {
    "stage1_blocks": 1,
    "stage2": Stage(1, (1, 1), (32, 64)),
    "stage3": Stage(2, (1, 1, 1), (32, 64, 128)),
}


@pytest.mark.parametrize(("name", "shorter"), [("sdpose_t", {"num_blocks": 1}), ("sdpose_b", SHORT_HRNET)])
def test_export_for_any_batch_size(name: str, shorter: dict[str, object]) -> None:
    model = create_model(name, depth=2, **shorter).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (IMAGES,), dynamic_shapes=({0: batch},), strict=True)
    with torch.no_grad():
        for num in (1, 3):
            images = IMAGES[:1].expand(num, -1, -1, -1).contiguous()
            torch.testing.assert_close(program.module()(images), model(images), rtol=0, atol=1e-5)


def test_a_training_step_compiles_into_one_graph_with_the_same_gradients() -> None:
    torch.manual_seed(0)
    model = create_model("sdpose_t", num_blocks=1, depth=2, cycle_num=2)
    twin = copy.deepcopy(model)
    target, weight, loss = torch.rand(2, 17, 64, 48), torch.ones(2, 17, 1), SDPoseLoss()

    def step(model: torch.nn.Module) -> torch.Tensor:
        cycles = model.forward_cycles(IMAGES)
        return total_loss(loss(cycles, target, weight)) + 0 * pose_accuracy(cycles, target, weight)

    eager = step(model)
    eager.backward()
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)(twin)
    compiled.backward()
    torch.testing.assert_close(compiled, eager)
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_bf16_autocast_keeps_losses_in_float32() -> None:
    torch.manual_seed(0)
    model = create_model("sdpose_t", depth=2, cycle_num=2)
    target, weight = torch.rand(2, 17, 64, 48), torch.ones(2, 17, 1)
    plain = SDPoseLoss()(model.forward_cycles(IMAGES), target, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = SDPoseLoss()(model.forward_cycles(IMAGES), target, weight)
    total_loss(terms).backward()
    for name, value in terms.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(plain[name].item(), rel=0.05)


def test_bf16_training_attends_in_float32_on_a_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 4, 33, 24, generator=generator).bfloat16() for _ in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert attend(query, key, value).dtype == torch.bfloat16
        found = attend(query.requires_grad_(), key, value)
    exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    assert torch.equal(found, exact)
    found.sum().backward()
    assert query.grad is not None
    assert query.grad.dtype == torch.bfloat16
