"""Where AP is lost: AP of each joint, the kinds of errors, and what AP would be without them.

AP of a joint is COCO's AP with one joint's similarity in place of the OKS: a prediction paired with a person (see
`pose_errors`) finds the joint where its similarity reaches the threshold; predictions paired with nobody are false, and
persons without the label are not counted. The pairing by whole poses is that of Pishchulin et al., "DeepCut" (CVPR
2016), section 5.2, the thresholds are COCO's.

AP "if mended" is measured, not estimated: the results are changed and evaluated again, for one kind of error at a time
(Ronchi and Perona, 2017, mend one after the other). Joints go to their true place; the prediction that fits a person
best gets this OKS as its score, their "optimal score" (section 3.2), and all others 0; predictions on nobody go.

Legend: I images, D predicted persons, K joints, H OKS thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdpose.evaluation.average_precision import FALSE, FOUND, NOT_COUNTED, OKS_THRESHOLDS, Ranking, ranked
from sdpose.evaluation.bootstrap import draws, interval
from sdpose.evaluation.matching import NOBODY
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.pose_errors import (
    ERROR_KINDS,
    INVERSION,
    JITTER,
    JOINT_KINDS,
    MISS,
    PAIR_OKS,
    SWAP,
    Pairs,
    nearest_persons,
    pair_persons,
)
from sdpose.evaluation.scene import Scene
from sdpose.skeleton import Skeleton

# 17 joints times the draws: fewer of them keep this at seconds, for tables that are read and not alarmed on.
_NUM_DRAWS = 200

Result = Mapping[str, Any]


def analyse(
    scene: Scene,
    results: Sequence[Result],
    skeleton: Skeleton,
    score: Callable[[Sequence[Result]], float],
) -> dict[str, Any]:
    """Tables as plain data, shares and AP 0 to 1, each with the ends of its 95 % interval.

    results: those that `scene` was made of; score: gives AP of changed ones.
    """
    evaluation = Evaluation.of(scene, skeleton)
    pairs = pair_persons(scene, skeleton.sigmas, skeleton.flip_index)
    whole = evaluation.interval()
    return {
        "images": scene.num_images,
        "persons": int((~scene.ignored).sum()),
        "predictions": len(scene.image),
        "AP": {"value": whole.value, "low": whole.low, "high": whole.high},
        "joints": _joint_table(scene, pairs, evaluation, skeleton),
        "errors": _error_table(evaluation, _mended(scene, pairs, results, score)),
    }


def analyse_joints(scene: Scene, skeleton: Skeleton) -> dict[str, Any]:
    """The joints of `analyse` alone: {name: {"AP", "AP_low", "AP_high", "labelled", share of each kind}}."""
    pairs = pair_persons(scene, skeleton.sigmas, skeleton.flip_index)
    return _joint_table(scene, pairs, Evaluation.of(scene, skeleton), skeleton)


def rank_by_joint(scene: Scene, pairs: Pairs) -> Ranking:
    """What became of every joint of every prediction: K groups at OKS's thresholds."""
    num_joints = pairs.similarity.shape[1]
    outcome = np.full((num_joints, len(OKS_THRESHOLDS), len(scene.image)), FALSE, np.int8)
    somebody = np.flatnonzero(pairs.matched != NOBODY)
    outcome[..., somebody[scene.ignored[pairs.matched[somebody]]]] = NOT_COUNTED
    found = pairs.similarity.T[:, None] >= OKS_THRESHOLDS[:, None]  # (K, H, P)
    outcome[..., pairs.found] = np.where(
        pairs.labelled.T[:, None], np.where(found, FOUND, FALSE), NOT_COUNTED
    )
    labelled = (scene.truth_joints[..., 2] > 0) & ~scene.ignored[:, None]  # (T, K)
    persons = [
        np.bincount(scene.truth_image[labelled[:, joint]], minlength=scene.num_images)
        for joint in range(num_joints)
    ]
    return ranked(scene, outcome, persons)


def _joint_table(scene: Scene, pairs: Pairs, evaluation: Evaluation, skeleton: Skeleton) -> dict[str, Any]:
    ranking = rank_by_joint(scene, pairs)
    counts = np.array(list(draws(scene.num_images, _NUM_DRAWS)))
    kinds = evaluation.errors.joints.sum(0)  # (K, 6)
    table = {}
    for joint, name in enumerate(skeleton.keypoints):
        drawn = ranking.average_precisions(counts, joint)
        precision = interval(ranking.average_precision(group=joint), drawn[drawn >= 0], scene.num_images)
        labelled = int(kinds[joint].sum())
        shares = kinds[joint] / max(labelled, 1)
        table[name] = {
            "AP": precision.value,
            "AP_low": precision.low,
            "AP_high": precision.high,
            "labelled": labelled,
            **dict(zip(JOINT_KINDS, shares.tolist(), strict=True)),
        }
    return table


def _error_table(evaluation: Evaluation, mended: Mapping[str, float]) -> dict[str, Any]:
    counts = np.array([np.ones(evaluation.num_images), *draws(evaluation.num_images)])
    shares = evaluation.errors.error_shares(counts)  # (1 + R, 7)
    table: dict[str, Any] = {}
    for column, kind in enumerate(ERROR_KINDS):
        share = interval(float(shares[0, column]), shares[1:, column], evaluation.num_images)
        table[kind] = {"share": share.value, "low": share.low, "high": share.high}
        if kind in mended:
            table[kind]["AP_if_mended"] = mended[kind]
    return table


def _mended(
    scene: Scene, pairs: Pairs, results: Sequence[Result], score: Callable[[Sequence[Result]], float]
) -> dict[str, float]:
    """AP without one kind of error; a person without any prediction cannot be mended."""
    mended = {}
    for name, kind in (("jitter", JITTER), ("inversion", INVERSION), ("swap", SWAP), ("miss", MISS)):
        joints = scene.joints.copy()
        pair, joint = np.nonzero((pairs.kinds == kind) & pairs.labelled)
        joints[pairs.found[pair], joint, :2] = scene.truth_joints[pairs.truth[pair], joint, :2]
        mended[name] = score(_changed(scene, results, joints=joints))
    nearest, similarity = nearest_persons(scene)
    by_person = np.lexsort((-similarity, nearest))
    is_best = np.r_[True, np.diff(nearest[by_person]) > 0] & (nearest[by_person] != NOBODY)
    best = by_person[is_best]
    scores = np.zeros(len(similarity))
    scores[best] = similarity[best]
    mended["score"] = score(_changed(scene, results, scores=scores))
    nobody = (pairs.matched == NOBODY) & (similarity < PAIR_OKS)
    mended["background"] = score(_changed(scene, results, kept=~nobody))
    return mended


def _changed(
    scene: Scene,
    results: Sequence[Result],
    *,
    joints: NDArray[np.float64] | None = None,
    scores: NDArray[np.float64] | None = None,
    kept: NDArray[np.bool_] | None = None,
) -> list[dict[str, Any]]:
    """The results that are in the scene, in the form of the file."""
    rows = range(len(scene.result)) if kept is None else np.flatnonzero(kept).tolist()
    joints = scene.joints if joints is None else joints
    scores = scene.scores if scores is None else scores
    return [
        {
            **results[scene.result[row]],
            "keypoints": joints[row].reshape(-1).tolist(),
            "score": float(scores[row]),
        }
        for row in rows
    ]


def analysis_lines(analysis: Mapping[str, Any]) -> list[str]:
    """The tables for a terminal."""
    head = f"{'joint':<16}{'AP':>22}" + "".join(f"{_words(kind):>11}" for kind in JOINT_KINDS)
    lines = [
        f"{analysis['images']} images, {analysis['persons']} persons, {analysis['predictions']} predictions; "
        "in brackets 95 % intervals",
        head,
    ]
    for name, row in analysis["joints"].items():
        precision = (
            _bracketed(row["AP"], row["AP_low"], row["AP_high"]) if row["labelled"] else "not labelled"
        )
        shares = "".join(f"{row[kind]:>11.1%}" for kind in JOINT_KINDS)
        lines.append(f"{name:<16}{precision:>22}{shares}")
    lines.append(f"{'error':<16}{'share':>22}{'AP if mended':>16}")
    for kind, row in analysis["errors"].items():
        share = f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
        gain = f"{row['AP_if_mended']:.3f}" if "AP_if_mended" in row else "-"
        lines.append(f"{_words(kind):<16}{share:>22}{gain:>16}")
    lines.append("shares of all labelled joints; score and background of all persons")
    return lines


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _bracketed(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
