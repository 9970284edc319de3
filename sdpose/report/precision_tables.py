"""Where the AP of the best evaluation is lost: by joint and by kind of error, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sdpose.errors import SdposeError
from sdpose.evaluation.analysis import analyse_joints
from sdpose.evaluation.bootstrap import draws, interval
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.pose_errors import ERROR_KINDS, JOINT_KINDS, PERSON_KINDS
from sdpose.report.blocks import Block, Paragraph, Table
from sdpose.report.predictions import NoPredictions
from sdpose.report.run_folder import RunFolder, command_words

Say: TypeAlias = Callable[..., str]


def precision(run: RunFolder, words: Say) -> list[Block]:
    """Both tables, or why there are none."""
    evaluation = run.evaluation
    if evaluation is None:
        return [Paragraph(words("no_evaluation"), "note")]
    counts = np.array([np.ones(evaluation.num_images), *draws(evaluation.num_images)])  # (1 + R, I)
    persons = int(evaluation.errors.persons.sum())
    epoch = run.summary.best_epoch
    measured, why = _measured_joints(run, words)
    from_test = not measured and _in_words(run.analysis.get("joints"))
    joints = _in_words(measured) or from_test or {}
    blocks: list[Block] = [
        Paragraph(words("evaluation_of", epoch=epoch, images=evaluation.num_images, persons=persons)),
        Paragraph(words("kinds"), "note"),
        _joint_table(evaluation, counts, joints, words),
        _error_table(evaluation, counts, words),
    ]
    if from_test:
        blocks.append(Paragraph(words("joint_ap"), "note"))
    elif not measured:
        blocks.append(Paragraph(words("no_joint_ap", why=why, **command_words(run)), "note"))
    return blocks


def _measured_joints(run: RunFolder, words: Say) -> tuple[Mapping[str, Any], str]:
    """AP of each joint from the kept predictions of the best evaluation, or nothing and why."""
    predictions = run.predictions
    if isinstance(predictions, NoPredictions):
        return {}, predictions.path or words("no_config_file")
    if predictions.epoch != run.summary.best_epoch:
        return {}, str(predictions.path)
    try:
        scores = score_results(predictions.truth, predictions.results, predictions.skeleton.sigmas)
    except SdposeError as error:
        return {}, str(error)
    if scores.scene is None:
        return {}, str(predictions.annotation_path)
    return analyse_joints(scores.scene, predictions.skeleton), ""


def _in_words(joints: Any) -> dict[str, str]:
    """AP of each joint with its interval, by name; empty where it was not measured."""
    if not isinstance(joints, Mapping):
        return {}
    return {
        str(name): f"{row['AP']:.3f} [{row['AP_low']:.3f}, {row['AP_high']:.3f}]"
        for name, row in joints.items()
        if isinstance(row, Mapping)
        and all(isinstance(row.get(key), float) for key in ("AP", "AP_low", "AP_high"))
    }


def _joint_table(
    evaluation: Evaluation, counts: np.ndarray[Any, Any], measured: Mapping[str, str], words: Say
) -> Table:
    good = evaluation.errors.good_shares(counts)  # (1 + R, K)
    kinds = evaluation.errors.joints.sum(0)  # (K, 6)
    rows = []
    for joint, name in enumerate(evaluation.joint_names):
        labelled = int(kinds[joint].sum())
        shares = kinds[joint] / max(labelled, 1)
        sure = _percent(good[0, joint], good[1:, joint], evaluation.num_images)
        rest = [f"{share:.1%}" for share in shares[1:]]
        rows.append(
            [name, *([measured.get(name, "-")] if measured else []), str(labelled), sure, *rest],
        )
    header = [words("joint"), *(["AP"] if measured else []), words("labelled")]
    return Table(words("joint_table"), [*header, *(kind.replace("_", " ") for kind in JOINT_KINDS)], rows)


def _error_table(evaluation: Evaluation, counts: np.ndarray[Any, Any], words: Say) -> Table:
    shares = evaluation.errors.error_shares(counts)  # (1 + R, 7)
    rows = [
        [
            kind.replace("_", " "),
            _percent(shares[0, column], shares[1:, column], evaluation.num_images),
            words("of_persons" if kind in PERSON_KINDS else "of_joints"),
        ]
        for column, kind in enumerate(ERROR_KINDS)
    ]
    return Table(words("error_table"), [words("error"), words("share"), words("of")], rows)


def _percent(value: float, drawn: np.ndarray[Any, Any], num_images: int) -> str:
    sure = interval(float(value), drawn, num_images)
    return f"{sure.value:.1%} [{sure.low:.1%}, {sure.high:.1%}]"
