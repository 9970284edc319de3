"""Checkpoints of the published code load here and ours load there."""

from __future__ import annotations

import pytest
from reference_model import WITH_NUMBERS, manifest, reference_numbers

from sdpose.models import VARIANTS, create_model


@pytest.mark.parametrize("name", VARIANTS)
def test_keys_shapes_and_order_are_the_published_ones(name: str) -> None:
    state_dict = create_model(name).state_dict()
    assert [(key, list(value.shape)) for key, value in state_dict.items()] == list(manifest(name).items())


@pytest.mark.parametrize("name", VARIANTS)
def test_optimizer_sees_parameters_in_the_published_order(name: str) -> None:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    published = [key for key in manifest(name) if not key.endswith(buffers)]
    assert [key for key, _ in create_model(name).named_parameters()] == published


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_only_the_sine_table_is_frozen(name: str) -> None:
    model = create_model(name)
    trained = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == reference_numbers(name)["param_names"].tolist()
