"""AP of each joint, and AP without one kind of error."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, crossed_legs, spread

from sdpose.evaluation.analysis import analyse, analysis_lines
from sdpose.evaluation.coco_ap import score_results
from sdpose.skeleton import COCO17

WRIST = COCO17.keypoints.index("left_wrist")


@pytest.fixture
def truth() -> dict:
    return annotations(*(spread(i % 3 + 1, 120 + 10 * i, number=i + 1, left=5000.0 * i) for i in range(6)))


def analysis_of(truth: dict, results: list[dict]) -> dict[str, Any]:
    scene = score_results(truth, results, COCO17.sigmas).scene
    assert scene is not None
    before = json.dumps(results)
    analysis = analyse(
        scene, results, COCO17, lambda changed: score_results(truth, changed, COCO17.sigmas).metrics["AP"]
    )
    assert json.dumps(results) == before
    return analysis


def changed(results: list[dict], joints_of: Any) -> list[dict]:
    out = []
    for result in results:
        joints = np.array(result["keypoints"], float).reshape(17, 3)
        out.append({**result, "keypoints": joints_of(joints).reshape(-1).tolist()})
    return out


def test_the_truth_has_no_errors(truth: dict) -> None:
    analysis = analysis_of(truth, as_results(truth))
    assert analysis["AP"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert {row["AP"] for row in analysis["joints"].values()} == {1.0}
    assert {row["share"] for row in analysis["errors"].values()} == {0.0}
    assert (analysis["images"], analysis["persons"], analysis["predictions"]) == (3, 6, 6)


def far_wrist(joints: np.ndarray) -> np.ndarray:
    joints[WRIST, :2] += [0, 900]
    return joints


def test_a_bad_joint_has_ap_0_and_others_1(truth: dict) -> None:
    analysis = analysis_of(truth, changed(as_results(truth), far_wrist))
    assert {name for name, row in analysis["joints"].items() if row["AP"] == 0.0} == {"left_wrist"}
    assert {row["AP"] for name, row in analysis["joints"].items() if name != "left_wrist"} == {1.0}
    assert analysis["joints"]["left_wrist"]["miss"] == 1.0
    assert analysis["errors"]["miss"]["share"] == pytest.approx(1 / 17)
    assert analysis["errors"]["miss"]["AP_if_mended"] == 1.0
    assert analysis["errors"]["jitter"]["AP_if_mended"] == analysis["AP"]["value"] < 1.0


def test_inversion_is_mended_by_the_truth(truth: dict) -> None:
    analysis = analysis_of(truth, changed(as_results(truth), crossed_legs))
    assert analysis["AP"]["value"] < 1.0
    assert analysis["errors"]["inversion"]["AP_if_mended"] == 1.0
    assert analysis["joints"]["left_knee"]["inversion"] == 1.0


def test_scores_and_poses_on_nobody_are_mended(truth: dict) -> None:
    good = [{**result, "score": 0.5} for result in as_results(truth)]
    nobody = {**good[0], "keypoints": (np.array(good[0]["keypoints"]) + 50_000).tolist(), "score": 0.9}
    analysis = analysis_of(truth, [nobody, *good])
    assert analysis["AP"]["value"] == pytest.approx(6 / 7, abs=0.02)
    assert analysis["errors"]["background"]["AP_if_mended"] == 1.0
    assert analysis["errors"]["score"]["AP_if_mended"] == 1.0
    assert "AP_if_mended" not in analysis["errors"]["not_found"]


def test_joints_that_nobody_has_are_said_to_be_unlabelled(truth: dict) -> None:
    for one in truth["annotations"]:
        joints = np.array(one["keypoints"]).reshape(17, 3)
        joints[WRIST] = 0
        one["keypoints"], one["num_keypoints"] = joints.reshape(-1).tolist(), 16
    analysis = analysis_of(truth, as_results(truth))
    assert (analysis["joints"]["left_wrist"]["labelled"], analysis["joints"]["left_wrist"]["AP"]) == (0, -1.0)
    (line,) = [line for line in analysis_lines(analysis) if line.startswith("left_wrist")]
    assert "not labelled" in line


def test_the_table_shows_what_the_json_says(truth: dict) -> None:
    analysis = analysis_of(truth, changed(as_results(truth), far_wrist))
    lines = analysis_lines(analysis)
    assert lines[0] == "3 images, 6 persons, 6 predictions; in brackets 95 % intervals"
    assert len(lines) == 1 + 1 + 17 + 1 + 7 + 1
    assert max(map(len, lines)) <= 110
    (wrist,) = [line for line in lines if line.startswith("left_wrist")]
    assert wrist.split() == [
        "left_wrist",
        "0.000",
        "[0.000,",
        "0.000]",
        "0.0%",
        "0.0%",
        "0.0%",
        "0.0%",
        "100.0%",
        "0.0%",
    ]
    (miss,) = [line for line in lines if line.startswith("miss")]
    assert miss.split() == ["miss", "5.9%", "[5.9%,", "5.9%]", "1.000"]
    assert json.loads(json.dumps(analysis)) == analysis
