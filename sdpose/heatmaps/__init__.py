"""Heatmaps: joints to maps (`encode`), maps of a mirrored image back (`flip`), maps to joints (`decode`).

Shapes: N persons, K keypoints, H, W heatmap rows and columns (64, 48). Everything is batched and stays on the
device of its input: no loop over persons or joints, and on CUDA no wait for the device.

Frames: *crop pixels* are pixels of the network's input image (192 x 256), *heatmap cells* are indices into a
map. A cell is a crop pixel divided by the stride (4), without a half-pixel offset, in both directions.
"""

from sdpose.heatmaps.decode import decode_heatmaps
from sdpose.heatmaps.encode import encode_heatmaps
from sdpose.heatmaps.flip import flip_heatmaps

__all__ = ["decode_heatmaps", "encode_heatmaps", "flip_heatmaps"]
