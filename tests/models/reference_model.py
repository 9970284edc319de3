"""A model with the weights, and a batch with the contents, that the stored reference numbers were made with.

Run as a program it prints nothing and writes the gradient norms of three losses: `reference_model.py NAME FILE.npz`.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parity_recipe import recipe

from sdpose.models import SDPose, SDPoseLoss, create_model, total_loss

PARITY = Path(__file__).resolve().parent.parent / "fixtures" / "parity"
WITH_NUMBERS = ("sdpose_t", "sdpose_s_v1")


def reference_model(name: str) -> SDPose:
    """A published model filled by the recipe; the sine table stays the model's own."""
    model = create_model(name)
    model.load_state_dict(
        {
            key: value
            if key.endswith("pos_embedding")
            else torch.from_numpy(recipe.weight(key, tuple(value.shape)))
            for key, value in model.state_dict().items()
        }
    )
    return model


@cache
def reference_numbers(name: str) -> dict[str, np.ndarray]:
    """What the published code gives for that model and batch."""
    with np.load(PARITY / f"model_{name}.npz") as file:
        return dict(file)


def manifest(name: str) -> dict[str, list[int]]:
    """Keys and shapes of a published checkpoint, in order."""
    content: dict[str, Any] = json.loads((PARITY / f"manifest_{name}.json").read_text())
    return content


def reference_images() -> Tensor:
    """(2, 3, 256, 192) float32."""
    return torch.from_numpy(recipe.model_input())


def reference_target() -> tuple[Tensor, Tensor]:
    """Target (2, 17, 64, 48) and weight (2, 17, 1) float32."""
    target, weight = recipe.model_target()
    return torch.from_numpy(target), torch.from_numpy(weight)


def gradient_norms(name: str) -> dict[str, np.ndarray]:
    """L2 norm of each parameter's gradient, in the order of the reference numbers, for three losses."""
    model = reference_model(name).train()
    terms = SDPoseLoss()(model.forward_cycles(reference_images()), *reference_target())
    losses = {
        "gradnorm_total": total_loss(terms),
        "gradnorm_dist_only": terms["vis_dist_loss"] + terms["kpt_dist_loss"],
        "gradnorm_vis_dist_only": terms["vis_dist_loss"],
    }
    parameters = dict(model.named_parameters())
    norms = {}
    for key, loss in losses.items():
        wanted = [parameters[parameter] for parameter in reference_numbers(name)["param_names"]]
        gradients = torch.autograd.grad(loss, wanted, retain_graph=True, allow_unused=True)
        norms[key] = np.array([0.0 if gradient is None else gradient.norm().item() for gradient in gradients])
    return norms


if __name__ == "__main__":
    np.savez(sys.argv[2], **gradient_norms(sys.argv[1]))
