"""What is kept of an evaluation, how sure its AP is, and what changed from one to another beyond noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.evaluation.average_precision import Ranking, rank_by_size
from sdpose.evaluation.bootstrap import Interval, draws, interval, moved
from sdpose.evaluation.pose_errors import ERROR_KINDS, ErrorCounts, count_errors, pair_persons
from sdpose.evaluation.scene import Scene
from sdpose.evaluation.stored_arrays import stored_arrays
from sdpose.skeleton import Skeleton

_FORMAT = 1


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, image by image, small enough to keep: some 10 bytes a prediction on the disk.

    image_ids (I,) ascending; `joint_names` K. `ranking` has COCO's groups of sizes.
    """

    image_ids: NDArray[np.int64]
    joint_names: tuple[str, ...]
    ranking: Ranking
    errors: ErrorCounts

    @classmethod
    def of(cls, scene: Scene, skeleton: Skeleton) -> Evaluation:
        """What was matched in `scene`."""
        pairs = pair_persons(scene, skeleton.sigmas, skeleton.flip_index)
        return cls(scene.image_ids, skeleton.keypoints, rank_by_size(scene), count_errors(scene, pairs))

    @property
    def num_images(self) -> int:
        return len(self.image_ids)

    @cached_property
    def average_precision(self) -> float:
        """AP, or -1 when nobody is annotated."""
        return self.ranking.average_precision()

    @cached_property
    def drawn(self) -> NDArray[np.float64]:
        """AP in each draw, (R,); draws without an annotated person are left out as NaN."""
        values = self.ranking.average_precisions(np.array(list(draws(self.num_images))))
        return np.where(values < 0, np.nan, values)

    def interval(self) -> Interval:
        """AP with its 95 % interval."""
        drawn = self.drawn
        return interval(self.average_precision, drawn[np.isfinite(drawn)], self.num_images)

    def is_comparable(self, other: Evaluation) -> bool:
        """Whether both looked at the same images and the same persons in them."""
        return (
            self.joint_names == other.joint_names
            and np.array_equal(self.image_ids, other.image_ids)
            and np.array_equal(self.ranking.persons, other.ranking.persons)
        )

    def change_since(self, other: Evaluation) -> Interval:
        """This AP minus the other's. Raises SdposeError unless they are comparable."""
        self._require_comparable(other)
        drawn = self.drawn - other.drawn
        change = self.average_precision - other.average_precision
        return interval(change, drawn[np.isfinite(drawn)], self.num_images)

    def moved_since(self, other: Evaluation) -> dict[str, dict[str, float]]:
        """What changed beyond noise: {"joints": {name: change}, "errors": {kind: change}}, the largest first.

        A joint's number is the share of its labelled places that are good, an error's is its share as in
        `ErrorCounts.error_shares`.
        """
        self._require_comparable(other)
        counts = np.array([np.ones(self.num_images), *draws(self.num_images)], np.float64)  # (1 + R, I)
        shares = [
            np.concatenate([it.errors.good_shares(counts), it.errors.error_shares(counts)], axis=1)
            for it in (self, other)
        ]
        changes = shares[0] - shares[1]  # (1 + R, K + 7)
        change, drawn = changes[0], changes[1:]
        has_moved = moved(change, drawn, self.num_images)
        names = (*self.joint_names, *ERROR_KINDS)
        order = [i for i in np.argsort(-np.abs(change), kind="stable").tolist() if has_moved[i]]
        num_joints = len(self.joint_names)
        return {
            "joints": {names[i]: float(change[i]) for i in order if i < num_joints},
            "errors": {names[i]: float(change[i]) for i in order if i >= num_joints},
        }

    def _require_comparable(self, other: Evaluation) -> None:
        if not self.is_comparable(other):
            raise SdposeError(
                f"the evaluations looked at different persons ({self.num_images} and {other.num_images} images); "
                "compare evaluations with the same annotation file"
            )

    def save(self, file: IO[bytes]) -> None:
        """As an .npz without pickles."""
        np.savez_compressed(
            file,
            format=np.int64(_FORMAT),
            AP=np.float64(self.average_precision),
            image_ids=self.image_ids,
            joint_names=np.array(self.joint_names),
            image=_narrow(self.ranking.image),
            outcome=self.ranking.outcome,
            persons=_narrow(self.ranking.persons),
            error_joints=_narrow(self.errors.joints),
            error_persons=_narrow(self.errors.persons),
            error_whole=_narrow(self.errors.whole),
        )

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Raises SdposeError for a file that is none."""
        with stored_arrays(path, version=_FORMAT) as stored:
            return cls(
                image_ids=stored["image_ids"],
                joint_names=tuple(stored["joint_names"].tolist()),
                ranking=Ranking(
                    image=stored["image"].astype(np.int32),
                    outcome=stored["outcome"],
                    persons=stored["persons"].astype(np.int32),
                ),
                errors=ErrorCounts(
                    joints=stored["error_joints"].astype(np.int32),
                    persons=stored["error_persons"].astype(np.int32),
                    whole=stored["error_whole"].astype(np.int32),
                ),
            )


def stored_average_precision(path: Path) -> float:
    """AP of a stored evaluation without reading the rest. Raises SdposeError for a file that is none."""
    with stored_arrays(path, version=_FORMAT) as stored:
        return float(stored["AP"])


def _narrow(values: NDArray[np.integer]) -> NDArray[np.integer]:
    """The same counts in the smallest type that holds them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
