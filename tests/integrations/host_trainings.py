"""The same small trainings for every framework: a linear regression, healthy or with a fault planted in its data."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from sdpose.monitor import Alert

BATCH, STEPS, WIDTH = 8, 600, 6
SAFE_LR, WILD_LR = 0.05, 1.6
NAN_STEP = 310

# fault -> what must be said first, and whether it is critical.
FAULTS = {"nan": ("non_finite", "critical"), "spike": ("loss_spike", "warning"), "lr": (None, "critical")}


class Regression(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """`STEPS` batches in a fixed order; the fault sits in the inputs of some of them."""

    def __init__(self, fault: str | None = None, *, steps: int = STEPS, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.inputs = torch.randn(steps * BATCH, WIDTH, generator=generator)
        truth = torch.randn(WIDTH, 1, generator=generator)
        noise = 0.3 * torch.randn(steps * BATCH, 1, generator=generator)
        self.targets = self.inputs @ truth + noise
        if fault == "nan":
            self.inputs[(NAN_STEP - 1) * BATCH] = math.nan
        if fault == "spike":
            self.targets[400 * BATCH : 430 * BATCH] += 4.0

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inputs[index], self.targets[index]


def loader(
    fault: str | None = None, *, steps: int = STEPS, seed: int = 0
) -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(Regression(fault, steps=steps, seed=seed), batch_size=BATCH)


def learning_rate(fault: str | None) -> float:
    return WILD_LR if fault == "lr" else SAFE_LR


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    linear = torch.nn.Linear(WIDTH, 1)
    torch.nn.init.zeros_(linear.weight)
    return linear


class Heard(list[Alert]):
    """Collects alerts as `on_alerts`, and answers for them."""

    def __call__(self, alerts: list[Alert]) -> None:
        self.extend(alerts)

    @property
    def grave(self) -> list[Alert]:
        return [alert for alert in self if alert.severity != "info"]

    def assert_found(self, fault: str | None) -> None:
        """The right alert for the fault; none at all for a healthy training."""
        kinds = [(alert.kind, alert.severity) for alert in self.grave]
        if fault is None:
            assert kinds == []
            return
        kind, severity = FAULTS[fault]
        if kind is not None:
            assert kinds[0] == (kind, severity)
        assert severity in [severity for _, severity in kinds]


every_fault = pytest.mark.parametrize("fault", [None, *FAULTS])
