"""AP and AR of any multiset of images, from what was matched once.

COCO's numbers depend on the images only through three things: the order of all predictions by score, what became of
each (found somebody, false, not counted), and how many persons there were to find. With these kept, AP of a resampled
data set is a weighted cumulative sum, a thousandth of the work of an evaluation. Copies of an image count as neighbours
in the order of scores.

Legend: I images, D predictions in order of score, G groups (size ranges, or joints), H OKS thresholds, R recall levels,
N draws.
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
_MOST_WEIGHTS = 300_000


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
        if int(counts @ self.persons[:, group]) == 0:
            return None
        return self._precisions(counts[None], group)[0]

    def average_precisions(self, counts: NDArray[np.int64], group: int = 0) -> NDArray[np.float64]:
        """`average_precision` of many draws at once, to the last bit the same: counts (N, I) -> (N,)."""
        somebody = counts @ self.persons[:, group] > 0
        values = np.full(len(counts), -1.0)
        rows = np.flatnonzero(somebody)
        # Few images take many draws in one go, many images some: memory stays at some megabytes.
        at_a_time = max(1, _MOST_WEIGHTS // max(1, len(self.image)))
        for first in range(0, len(rows), at_a_time):
            part = rows[first : first + at_a_time]
            values[part] = [precision.mean() for precision in self._precisions(counts[part], group)]
        return values

    def _precisions(self, counts: NDArray[np.int64], group: int) -> NDArray[np.float64]:
        """AP at each threshold of draws in each of which there is somebody: counts (N, I) -> (N, H)."""
        num_draws = len(counts)
        weights = counts.take(self.image, axis=1)  # (N, D)
        before = weights.cumsum(1)
        needed = _persons_needed(counts @ self.persons[:, group])  # (N, R)
        # All draws in one search: those of the next one lie behind all of this one.
        shift = np.arange(num_draws)[:, None] * (int(before[:, -1:].max(initial=0)) + int(needed.max()) + 1)
        precision = np.zeros((num_draws, self.outcome.shape[1], len(RECALL_LEVELS)))
        for threshold, places in enumerate(self._places[group]):
            num_found = weights.take(places.found, axis=1).cumsum(1)  # (N, F)
            num_all = before.take(places.found, axis=1)
            if len(places.uncounted):
                uncounted = np.zeros((num_draws, len(places.uncounted) + 1), np.int64)
                weights.take(places.uncounted, axis=1).cumsum(1, out=uncounted[:, 1:])
                num_all = num_all - uncounted.take(places.num_uncounted, axis=1)
            # As COCO interpolates: the best precision at this recall or a higher one. It is reached where somebody is
            # found, so only these places are looked at.
            best = num_found / (num_all + np.spacing(1))
            best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
            place = np.searchsorted((num_found + shift).ravel(), (needed + shift).ravel()).reshape(
                needed.shape
            )
            place -= np.arange(num_draws)[:, None] * num_found.shape[1]
            draw, level = np.nonzero(place < num_found.shape[1])
            precision[draw, threshold, level] = best[draw, place[draw, level]]
        return np.asarray(precision.mean(2))

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


def _persons_needed(num_persons: NDArray[np.integer]) -> NDArray[np.int64]:
    """The fewest persons whose share reaches each recall level, compared as COCO's code does: (N,) -> (N, R)."""
    total = num_persons[:, None]
    needed = np.ceil(RECALL_LEVELS * total).astype(np.int64)
    needed -= (needed - 1) / total >= RECALL_LEVELS
    needed += needed / total < RECALL_LEVELS
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
