"""Where the AP of the best evaluation is lost: by joint and by kind of error, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from sdpose.evaluation.bootstrap import draws, interval
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.pose_errors import ERROR_KINDS, JOINT_KINDS, PERSON_KINDS
from sdpose.report.blocks import Block, Paragraph, Table
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
    blocks: list[Block] = [
        Paragraph(words("evaluation_of", epoch=epoch, images=evaluation.num_images, persons=persons)),
        _joint_table(evaluation, counts, _joint_precision(run.analysis), words),
        _error_table(evaluation, counts, words),
    ]
    if _joint_precision(run.analysis):
        blocks.append(Paragraph(words("joint_ap"), "note"))
    else:
        blocks.append(Paragraph(words("no_joint_ap", **command_words(run)), "note"))
    return blocks


def _joint_precision(analysis: Mapping[str, Any]) -> dict[str, str]:
    """AP of each joint with its interval, by name; empty where it was not measured."""
    joints = analysis.get("joints")
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
