"""What kind of mistake each joint is: jitter, left for right, another person's, missed; and which persons are lost.

After Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation" (ICCV 2017), section 3.
A predicted joint is judged by its keypoint similarity ks = exp(-d^2 / (2 s^2 k^2)), one joint's part of the OKS (their
eq. 1): d is its distance to the true joint, s^2 the person's area, k twice the joint's sigma. Predictions are first
paired with persons as AP does it, but from an OKS of 0.1 on, so that bad poses are judged too. Then a labelled joint is

- good: ks to its true place at least 0.85, the margin between human annotators;
- jitter: ks at least 0.5, near but not there;
- inversion: not near, but ks to the same person's mirrored joint (left for right) at least 0.5;
- swap: none of these, but ks to the same or the mirrored joint of another person at least 0.5;
- miss: near none of them;
- not_found: the whole person has no prediction.

Where the paper leaves a choice, ours is: a joint near both its mirror image and another person counts as inversion; a
joint near an unrelated joint is a miss.

Whole predictions have two mistakes more. `score`: a person is taken by a prediction although a better one, lower in
score, was there (their section 3.2). `background`: a prediction on nobody (their section 3.3). A detector file brings
thousands of boxes on nobody with scores near 0 that cost nothing, so only those count that stand among the first N
scores, N being the number of annotated persons.

Legend: I images, T annotated persons, D predicted ones, P pairs of them, K joints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.matching import NOBODY, match_persons, same_shapes
from sdpose.evaluation.oks import joint_similarity
from sdpose.evaluation.scene import Scene

JOINT_KINDS = ("good", "jitter", "inversion", "swap", "miss", "not_found")
PERSON_KINDS = ("score", "background")
ERROR_KINDS = (*JOINT_KINDS[1:], *PERSON_KINDS)
GOOD, JITTER, INVERSION, SWAP, MISS, NOT_FOUND = range(len(JOINT_KINDS))

PAIR_OKS = 0.1
_GOOD_FROM = 0.85
_NEAR_FROM = 0.5


@dataclass(frozen=True)
class ErrorCounts:
    """Mistakes per image, so that any multiset of images can be counted again.

    joints (I, K, 6) labelled joints by JOINT_KINDS; persons (I,) annotated; whole (I, 2) by PERSON_KINDS.
    """

    joints: NDArray[np.int32]
    persons: NDArray[np.int32]
    whole: NDArray[np.int32]

    def good_shares(self, counts: NDArray[np.floating]) -> NDArray[np.float64]:
        """Of all labelled joints of a name, the share that is good; `counts` (R, I) -> (R, K)."""
        return _share(counts, self.joints[..., GOOD], self.joints.sum(2))

    def error_shares(self, counts: NDArray[np.floating]) -> NDArray[np.float64]:
        """ERROR_KINDS as shares of all labelled joints, the last two of all persons; `counts` (R, I) -> (R, 7)."""
        joints = self.joints.sum(1)
        labelled = joints.sum(1, keepdims=True)
        return np.concatenate(
            [_share(counts, joints[:, JITTER:], labelled), _share(counts, self.whole, self.persons[:, None])],
            axis=1,
        )


def _share(
    counts: NDArray[np.floating], part: NDArray[np.int32], whole: NDArray[np.int32]
) -> NDArray[np.float64]:
    """`part` over `whole`, both (I, M) or broadcast; 0 where there is nothing."""
    return np.asarray((counts @ part) / np.maximum(counts @ whole, 1), np.float64)


@dataclass(frozen=True)
class Pairs:
    """Predictions that are paired with a person who counts.

    found (P,) rows of predictions; truth (P,) rows of annotated persons; oks (P,); similarity (P, K); kinds (P, K)
    index of JOINT_KINDS, to be read where `labelled` (P, K). matched (D,): what each prediction was matched with, be
    it to be ignored, or NOBODY.
    """

    found: NDArray[np.intp]
    truth: NDArray[np.int32]
    oks: NDArray[np.float64]
    similarity: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    kinds: NDArray[np.int64]
    matched: NDArray[np.int32]


def pair_persons(scene: Scene, sigmas: Sequence[float], flip_index: Sequence[int]) -> Pairs:
    """Pair predictions with annotated persons and name what each joint is."""
    matched = match_persons(scene, np.array([PAIR_OKS]), scene.ignored[None])[0, 0]
    found = np.flatnonzero(matched != NOBODY)
    found = found[~scene.ignored[matched[found]]]
    truth = matched[found]
    flip = np.asarray(flip_index)
    joints, areas = scene.joints[found], scene.areas[truth]
    own = scene.truth_joints[truth]
    similarity = joint_similarity(joints, own, areas, sigmas)
    mirrored = joint_similarity(joints, own[:, flip], areas, sigmas)
    inverted = (mirrored >= _NEAR_FROM) & (own[:, flip, 2] > 0)
    kinds = np.select(
        [
            similarity >= _GOOD_FROM,
            similarity >= _NEAR_FROM,
            inverted,
            _near_another(scene, found, truth, sigmas, flip),
        ],
        [GOOD, JITTER, INVERSION, SWAP],
        default=MISS,
    )
    labelled = own[..., 2] > 0
    oks = (similarity * labelled).sum(1) / labelled.sum(1)
    return Pairs(found, truth, oks, similarity, labelled, kinds, matched)


def _near_another(
    scene: Scene,
    found: NDArray[np.intp],
    truth: NDArray[np.int32],
    sigmas: Sequence[float],
    flip: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Whether each joint lies on the same or the mirrored joint of another person who counts: (P, K)."""
    first = np.searchsorted(scene.truth_image, scene.image[found], side="left")
    last = np.searchsorted(scene.truth_image, scene.image[found], side="right")
    pair = np.repeat(np.arange(len(found)), last - first)
    person = first[pair] + np.arange(len(pair)) - np.searchsorted(pair, pair)
    other = (person != truth[pair]) & ~scene.ignored[person]
    pair, person = pair[other], person[other]
    joints, areas, theirs = scene.joints[found[pair]], scene.areas[person], scene.truth_joints[person]
    near = np.zeros((len(found), len(flip)), bool)
    for place in (theirs, theirs[:, flip]):
        close = (joint_similarity(joints, place, areas, sigmas) >= _NEAR_FROM) & (place[..., 2] > 0)
        row, joint = np.nonzero(close)
        near[pair[row], joint] = True
    return near


def count_errors(scene: Scene, pairs: Pairs) -> ErrorCounts:
    """Mistakes of each image."""
    counted = ~scene.ignored
    lost = counted.copy()
    lost[pairs.truth] = False
    pair, pair_joint = np.nonzero(pairs.labelled)
    person, lost_joint = np.nonzero((scene.truth_joints[..., 2] > 0) & lost[:, None])
    shape = (scene.num_images, scene.truth_joints.shape[1], len(JOINT_KINDS))
    places = (
        np.concatenate([scene.image[pairs.found[pair]], scene.truth_image[person]]),
        np.concatenate([pair_joint, lost_joint]),
        np.concatenate([pairs.kinds[pair, pair_joint], np.full(len(person), NOT_FOUND)]),
    )
    joints = np.bincount(np.ravel_multi_index(places, shape), minlength=math.prod(shape)).reshape(shape)
    whole = [_badly_scored(scene, pairs), _on_nobody(scene, pairs, int(counted.sum()))]
    return ErrorCounts(
        joints=joints.astype(np.int32),
        persons=np.bincount(scene.truth_image[counted], minlength=scene.num_images).astype(np.int32),
        whole=np.stack(whole, axis=1).astype(np.int32),
    )


def _badly_scored(scene: Scene, pairs: Pairs) -> NDArray[np.intp]:
    """For each image the persons that a better prediction, lower in score, was left without: (I,)."""
    nearest, similarity = nearest_persons(scene)
    achieved = np.full(len(scene.truth_image), np.inf)
    achieved[pairs.truth] = pairs.oks
    left = np.flatnonzero((pairs.matched == NOBODY) & (nearest != NOBODY))
    # The two were summed in different order: a repeated pose is no better one.
    better = left[similarity[left] > achieved[nearest[left]] + 1e-9]
    return np.bincount(scene.truth_image[np.unique(nearest[better])], minlength=scene.num_images)


def _on_nobody(scene: Scene, pairs: Pairs, num_persons: int) -> NDArray[np.intp]:
    """For each image the predictions on nobody among the `num_persons` highest scores: (I,)."""
    high = np.zeros(len(scene.image), bool)
    high[np.argsort(-scene.scores, kind="stable")[:num_persons]] = True
    _, similarity = nearest_persons(scene)
    nobody = high & (pairs.matched == NOBODY) & (similarity < PAIR_OKS)
    return np.bincount(scene.image[nobody], minlength=scene.num_images)


def nearest_persons(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The annotated person that each prediction fits best, NOBODY in an image without any, and the OKS: 2 x (D,)."""
    nearest, similarity = np.full(len(scene.image), NOBODY, np.int64), np.zeros(len(scene.image))
    first_found = np.searchsorted(scene.image, np.arange(scene.num_images))
    first_truth = np.searchsorted(scene.truth_image, np.arange(scene.num_images))
    for images, oks in same_shapes(scene):
        rows = first_found[images][:, None] + np.arange(oks.shape[1])
        nearest[rows] = first_truth[images][:, None] + oks.argmax(2)
        similarity[rows] = oks.max(2)
    return nearest, similarity
