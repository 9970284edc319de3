"""Who a sample is, and what is odd about it.

Legend: N samples of a share, K keypoints, h, w rows and columns of a heatmap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdpose.assemble.data import training_targets
from sdpose.config.settings import Settings
from sdpose.data.batch import PoseBatch
from sdpose.data.coco import CocoKeypoints
from sdpose.data.json_file import read_json
from sdpose.data.persons import PersonTable
from sdpose.explain.computation import Batch
from sdpose.explain.halves import Seat

# A labelled joint this many crop sizes outside of its crop is no matter of augmentation.
FAR_OUTSIDE = 3.0
# A picture whose pixels spread less than this, of 255, shows nothing.
FLAT_PICTURE = 1.0


@dataclass(frozen=True)
class Oddity:
    """What is unusual about a sample; `key` names a phrase."""

    key: str
    numbers: dict[str, Any] = field(default_factory=dict)


def oddities(settings: Settings, share: PoseBatch, position: int) -> list[Oddity]:
    """What is odd about one sample, the gravest first; empty when nothing is."""
    found = []
    problem = share.problems[position]
    if problem is not None:
        found.append(Oddity("odd.unreadable", {"problem": problem}))
    host = share.to("cpu")
    joints, visible = host.joints[position], host.visible[position] > 0
    labelled = joints[visible]
    if not bool(labelled.isfinite().all()):
        found.append(
            Oddity("odd.joints_not_finite", {"joints": int((~labelled.isfinite()).any(dim=1).sum())})
        )
    target, weight = (tensor[position] for tensor in training_targets(settings, host))
    if not bool(target.isfinite().all()):
        found.append(Oddity("odd.target_not_finite", {}))
    elif float(target.max()) > 1 or float(target.min()) < 0:
        found.append(Oddity("odd.target_range", {"low": float(target.min()), "high": float(target.max())}))
    width, height = settings.data.train.data_cfg.image_size
    size = torch.tensor([width, height], dtype=torch.float32)
    reach = (labelled / size - 0.5).abs().amax(dim=1) if len(labelled) else torch.zeros(0)
    if len(reach) and bool(reach.isfinite().all()) and float(reach.max()) > FAR_OUTSIDE:
        found.append(Oddity("odd.joints_far", {"times": float(reach.max())}))
    if problem is None and not bool((weight > 0).any()):
        found.append(Oddity("odd.nothing_visible", {"labelled": len(labelled)}))
    spread = float(host.images[position].float().std())
    if problem is None and spread < FLAT_PICTURE:
        found.append(Oddity("odd.flat_picture", {"spread": spread}))
    return found


@dataclass(frozen=True)
class Who:
    """A sample by its names in the data set."""

    image_id: int
    annotation_id: int | None
    file_name: str


class Registry:
    """Names of the samples of a training set; the annotation file is read when the first name is asked for."""

    def __init__(self, table: CocoKeypoints, persons: PersonTable) -> None:
        self._table = table
        self._persons = persons
        self._annotations: dict[int, list[dict[str, Any]]] | None = None

    def who(self, batch: Batch, seat: Seat) -> Who:
        """Image id, annotation id and file name of a sample."""
        return self.of_row(int(batch[seat.rank].indices[seat.position]))

    def of_row(self, row: int) -> Who:
        """The same for a row of the person table."""
        image_row = int(self._persons.image_index[row])
        image_id = int(self._table.image_ids[image_row])
        path = self._table.image_paths[image_row]
        return Who(image_id, self._annotation_id(row, image_id), Path(path).name)

    def _annotation_id(self, row: int, image_id: int) -> int | None:
        """The annotation with the same joints in this image, when there is exactly one."""
        wanted = self._persons.joints[row]
        found = [
            annotation["id"]
            for annotation in self._of_image(image_id)
            if isinstance(annotation.get("id"), int) and _same_joints(annotation, wanted)
        ]
        return found[0] if len(found) == 1 else None

    def _of_image(self, image_id: int) -> list[dict[str, Any]]:
        if self._annotations is None:
            self._annotations = {}
            content = read_json(self._table.ann_file, "annotation file")
            for annotation in content.get("annotations", ()):
                self._annotations.setdefault(annotation.get("image_id"), []).append(annotation)
        return self._annotations.get(image_id, [])


def _same_joints(annotation: dict[str, Any], wanted: np.ndarray) -> bool:
    points = np.asarray(annotation.get("keypoints") or [], dtype=np.float64)
    if points.size != 3 * len(wanted):
        return False
    with np.errstate(over="ignore"):
        return bool(np.array_equal(points.reshape(-1, 3)[:, :2].astype(np.float32), wanted))
