"""AP and AR of any multiset of images, from what was matched once.

COCO's numbers depend on the images only through three things: the order of all predictions by score, what became of
each (found somebody, false, not counted), and how many persons there were to find. With these kept, AP of a resampled
data set is a weighted cumulative sum, a thousandth of the work of an evaluation. Copies of an image count as neighbours
in the order of scores.

Legend: I images, D predictions in order of score, G groups (size ranges, or joints), H OKS thresholds, R recall levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.matching import NOBODY, match_persons
from sdpose.evaluation.scene import Scene

OKS_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_LEVELS = np.linspace(0, 1, 101)
SIZES = ("all", "medium", "large")
# px^2, both ends included; COCO's keypoint evaluation has no small persons.
_SIZE_LIMITS = ((0.0, 1e10), (32.0**2, 96.0**2), (96.0**2, 1e10))

FALSE, FOUND, NOT_COUNTED = 0, 1, -1


@dataclass(frozen=True)
class Ranking:
    """What became of every prediction, the highest score first.

    image (D,) rows of the images; outcome (G, H, D) FOUND, FALSE or NOT_COUNTED; persons (I, G) to be found.
    """

    image: NDArray[np.int32]
    outcome: NDArray[np.int8]
    persons: NDArray[np.int32]

    @property
    def num_images(self) -> int:
        return len(self.persons)

    def average_precision(self, counts: NDArray[np.int64] | None = None, group: int = 0) -> float:
        """AP over all thresholds; -1 when there is nobody to find. `counts` (I,): how often each image occurs."""
        precision = self.precision(counts, group)
        return float(precision.mean()) if precision is not None else -1.0

    def precision(
        self, counts: NDArray[np.int64] | None = None, group: int = 0
    ) -> NDArray[np.float64] | None:
        """AP at each threshold, (H,); None when there is nobody to find."""
        counts = np.ones(self.num_images, np.int64) if counts is None else counts
        num_persons = int(counts @ self.persons[:, group])
        if num_persons == 0:
            return None
        weights = counts[self.image]  # (D,)
        before = weights.cumsum()
        needed = _persons_needed(num_persons)
        precision = np.zeros((self.outcome.shape[1], len(RECALL_LEVELS)))
        for threshold, places in enumerate(self._places[group]):
            num_found = weights[places.found].cumsum()
            num_all = before[places.found]
            if len(places.uncounted):
                num_all = num_all - np.r_[0, weights[places.uncounted].cumsum()][places.num_uncounted]
            # As COCO interpolates: the best precision at this recall or a higher one. It is reached where somebody is
            # found, so only these places are looked at.
            best = num_found / (num_all + np.spacing(1))
            best = np.maximum.accumulate(best[::-1])[::-1]
            place = np.searchsorted(num_found, needed)
            reached = place < len(best)
            precision[threshold, reached] = best[place[reached]]
        return np.asarray(precision.mean(1))

    def recall(self, counts: NDArray[np.int64] | None = None, group: int = 0) -> NDArray[np.float64] | None:
        """Share of persons found at each threshold, (H,); None when there is nobody to find."""
        counts = np.ones(self.num_images, np.int64) if counts is None else counts
        num_persons = int(counts @ self.persons[:, group])
        if num_persons == 0:
            return None
        return np.asarray((self.outcome[group] == FOUND) @ counts[self.image] / num_persons)

    @cached_property
    def _places(self) -> list[list[_Places]]:
        """For each group and threshold."""
        return [[_places(outcome) for outcome in group] for group in self.outcome]


@dataclass(frozen=True)
class _Places:
    """Where in the order of scores somebody is found, what is not counted, and how much of that comes before."""

    found: NDArray[np.intp]
    uncounted: NDArray[np.intp]
    num_uncounted: NDArray[np.intp]


def _places(outcome: NDArray[np.int8]) -> _Places:
    found, uncounted = np.flatnonzero(outcome == FOUND), np.flatnonzero(outcome == NOT_COUNTED)
    return _Places(found, uncounted, np.searchsorted(uncounted, found))


def _persons_needed(num_persons: int) -> NDArray[np.int64]:
    """The fewest persons whose share of `num_persons` reaches each recall level, compared as COCO's code does: (R,)."""
    needed = np.ceil(RECALL_LEVELS * num_persons).astype(np.int64)
    needed -= (needed - 1) / num_persons >= RECALL_LEVELS
    needed += needed / num_persons < RECALL_LEVELS
    return needed


def rank_by_size(scene: Scene) -> Ranking:
    """COCO's groups: `SIZES`, at `OKS_THRESHOLDS`."""
    low, high = np.array(_SIZE_LIMITS).T[..., None]
    ignored = scene.ignored | (scene.areas < low) | (scene.areas > high)  # (G, T)
    extents = scene.extents
    outside = (extents < low) | (extents > high)  # (G, D)
    matched = match_persons(scene, OKS_THRESHOLDS, ignored)  # (G, H, D)
    if ignored.shape[1]:
        uncounted_match = np.stack([group[rows] for group, rows in zip(ignored, matched, strict=True)])
    else:
        uncounted_match = np.zeros(matched.shape, bool)
    somebody = matched != NOBODY
    outcome = np.where(somebody, np.where(uncounted_match, NOT_COUNTED, FOUND), FALSE)
    outcome[~somebody & outside[:, None]] = NOT_COUNTED
    persons = [np.bincount(scene.truth_image[~group], minlength=scene.num_images) for group in ignored]
    return ranked(scene, outcome, persons)


def ranked(scene: Scene, outcome: NDArray[np.integer], persons: Sequence[NDArray[np.integer]]) -> Ranking:
    """`outcome` (G, H, D) in the scene's order, `persons` G times (I,) -> in order of score."""
    # Stable, with images by ascending id: the order in which COCO's code meets equal scores.
    order = np.argsort(-scene.scores, kind="stable")
    return Ranking(
        image=scene.image[order].astype(np.int32),
        outcome=np.ascontiguousarray(outcome[..., order], dtype=np.int8),
        persons=np.stack(list(persons), axis=1).astype(np.int32),
    )
