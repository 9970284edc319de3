"""Normalisation equals ToTensor and Normalize, to the bit."""

from __future__ import annotations

import numpy as np
import torch

from sdpose.models import ImageNormalizer


def test_every_grey_value_of_every_channel_is_bit_identical() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    # What torchvision does, in its order and precision.
    scaled = ramp.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    column = (np.float32(mean)[:, None, None], np.float32(std)[:, None, None])
    expected = (scaled - column[0]) / column[1]
    images = ImageNormalizer()(torch.from_numpy(ramp))
    np.testing.assert_array_equal(images.numpy(), expected)
    assert images.dtype == torch.float32


def test_images_come_out_channels_last_and_the_input_is_kept() -> None:
    crops = torch.randint(0, 256, (2, 8, 6, 3), dtype=torch.uint8)
    before = crops.clone()
    images = ImageNormalizer(mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 2.0))(crops)
    assert images.shape == (2, 3, 8, 6)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert crops.equal(before)


def test_it_has_no_keys() -> None:
    assert not ImageNormalizer().state_dict()
