"""torch's random generators, to be stored with a run and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sdpose.errors import SdposeError


def random_state(device: torch.device) -> dict[str, Any]:
    """States of the CPU generator and, on CUDA, of this device's."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Go on with the draws that would have followed `random_state`.

    A run that changes from CPU to CUDA has no state for it and goes on with the generator as seeded.
    """
    if "cpu" not in state:
        raise SdposeError(
            f"the random state in the checkpoint has {list(state)}, expected 'cpu'; use --load-from"
        )
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
