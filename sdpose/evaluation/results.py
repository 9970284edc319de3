"""Predictions to COCO results: rescoring, suppression of double detections, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sdpose.errors import SdposeError
from sdpose.evaluation.inference import PosePredictions
from sdpose.evaluation.oks import oks_nms, soft_oks_nms

Suppression = Literal["oks", "soft"] | None


def to_coco_results(
    predictions: PosePredictions,
    *,
    sigmas: Sequence[float],
    vis_thr: float = 0.2,
    oks_thr: float = 0.9,
    nms: Suppression = "oks",
    category_id: int = 1,
) -> list[dict[str, Any]]:
    """Poses as COCO has them, one dict each.

    Keys: category_id, center [2], image_id, keypoints [3 K: x, y, score a joint], scale [2], score.

    The score is the box score times the mean of those joint scores that are above `vis_thr`, 0 if none is.
    Within an image poses with an OKS above `oks_thr` to a better one are dropped ('oks'), or at most 20 are
    kept in the order of decayed scores ('soft', the written scores are not decayed), or all are kept in the
    order of bbox_id (None). Images come in the order of `PosePredictions.sorted_once`; repeated boxes are
    dropped.
    """
    if nms not in ("oks", "soft", None):
        raise SdposeError(f"nms={nms!r} is unknown; expected 'oks', 'soft' or None")
    poses = predictions.sorted_once()
    scores = pose_scores(poses, vis_thr)
    kept = np.concatenate(
        [np.zeros(0, np.int64), *_kept_rows(poses, scores, sigmas, oks_thr=oks_thr, nms=nms)]
    )
    keypoints = poses.keypoints[kept].reshape(len(kept), 3 * poses.keypoints.shape[1]).tolist()
    columns = zip(
        poses.centers[kept].tolist(),
        poses.image_ids[kept].tolist(),
        keypoints,
        poses.scales[kept].tolist(),
        scores[kept].tolist(),
        strict=True,
    )
    return [
        {
            "category_id": category_id,
            "center": center,
            "image_id": image_id,
            "keypoints": joints,
            "scale": scale,
            "score": score,
        }
        for center, image_id, joints, scale, score in columns
    ]


def pose_scores(poses: PosePredictions, vis_thr: float) -> NDArray[np.float64]:
    """Box score times the mean of the joint scores strictly above `vis_thr`, 0 if none is: (P,)."""
    joint_scores = poses.keypoints[..., 2].astype(np.float64)  # (P, K)
    counted = joint_scores > vis_thr
    mean = np.where(counted, joint_scores, 0).sum(1) / np.maximum(counted.sum(1), 1)
    return mean * poses.box_scores


def _kept_rows(
    poses: PosePredictions,
    scores: NDArray[np.float64],
    sigmas: Sequence[float],
    *,
    oks_thr: float,
    nms: Suppression,
) -> Iterator[NDArray[np.int64]]:
    """Rows to write, image after image."""
    ends = np.flatnonzero(np.diff(poses.image_ids)) + 1
    for rows in np.split(np.arange(len(poses)), ends):
        if nms is None or len(rows) < 2:
            yield rows
            continue
        suppress = oks_nms if nms == "oks" else soft_oks_nms
        yield rows[suppress(poses.keypoints[rows], poses.areas[rows], scores[rows], sigmas, oks_thr)]


def save_results(file: IO[bytes], results: Sequence[dict[str, Any]]) -> None:
    """Write what `to_coco_results` made as JSON, keys sorted, indented by 4."""
    for text in _json_text(results):
        file.write(text.encode())


def _json_text(results: Sequence[dict[str, Any]], at_a_time: int = 1000) -> Iterator[str]:
    """The bytes of json.dump(results, sort_keys=True, indent=4), ten times as fast.

    With an indent Python's own encoder runs in Python, number by number. Here the compiled one writes every
    item on its own line at the depth of a list inside an object, and the few places of another depth are put
    right. That holds for objects of numbers and filled lists of numbers, which is what results are.
    """
    if not results:
        yield "[]"
        return
    for start in range(0, len(results), at_a_time):
        text = json.dumps(
            results[start : start + at_a_time], sort_keys=True, separators=(",\n            ", ": ")
        )
        text = text[1:-1].replace("[", "[\n            ").replace("]", "\n        ]")
        text = text.replace(',\n            "', ',\n        "').replace(",\n            {", ",\n    {")
        text = text.replace("{", "{\n        ").replace("}", "\n    }")
        yield ("[\n    " if start == 0 else ",\n    ") + text
    yield "\n]"
