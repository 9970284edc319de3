"""The persons of a set as arrays, since a training run carries 150,000 of them into every worker process.

Legend: P persons, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PersonTable:
    """P persons, one a row.

    image_index (P,) int32 into the images of the set; boxes_xywh (P, 4) float64 image pixels (double, so that
    centres round as the published code's do); joints (P, K, 2) float32 image pixels; visible (P, K) float32,
    1 for a labelled joint (occluded ones too) and 0 otherwise; box_scores (P,) float32; bbox_ids (P,) int64:
    running number within the image for annotated boxes, within the whole table for detected ones.
    """

    image_index: NDArray[np.int32]
    boxes_xywh: NDArray[np.float64]
    joints: NDArray[np.float32]
    visible: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    bbox_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_index)

    def in_images(self, rows: Sequence[int]) -> PersonTable:
        """Those of the images in these rows."""
        kept = np.isin(self.image_index, rows)
        return PersonTable(**{column.name: getattr(self, column.name)[kept] for column in fields(self)})
