"""Un-flipping: channels, columns, and the shift whose first column stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from parity_recipe import recipe

from sdpose.heatmaps import flip_heatmaps

FLIP_INDEX = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)


@pytest.mark.parametrize("shift", [False, True])
def test_fixture(parity: Path, shift: bool) -> None:
    expected = np.load(parity / "decode.npz")["flip_shift_sub" if shift else "flip_back_sub"]
    maps = torch.from_numpy(np.stack([recipe.heatmaps(i)[0] for i in range(10)]))
    np.testing.assert_array_equal(flip_heatmaps(maps, FLIP_INDEX, shift=shift)[:, :, ::8, ::6], expected)


def test_the_smallest_case_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]])
    assert flip_heatmaps(maps, (1, 0), shift=False).tolist() == [[[[6, 5, 4]], [[3, 2, 1]]]]
    assert flip_heatmaps(maps, (1, 0), shift=True).tolist() == [[[[6, 6, 5]], [[3, 3, 2]]]]


def test_twice_is_nothing_and_the_input_stays() -> None:
    maps = torch.rand(2, 17, 8, 6, generator=torch.Generator().manual_seed(0))
    before = maps.clone()
    twice = flip_heatmaps(flip_heatmaps(maps, FLIP_INDEX, shift=False), FLIP_INDEX, shift=False)
    assert torch.equal(twice, before)
    assert torch.equal(maps, before)
