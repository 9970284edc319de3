"""AP and AR equal pycocotools', on real ground truth and results and on perturbed ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, by_pycocotools, jittered, person

from sdpose.errors import SdposeError
from sdpose.evaluation.coco_ap import COCO_NAMES, CROWDPOSE_NAMES, evaluate_results
from sdpose.skeleton import COCO17, CROWDPOSE14

SIGMAS = COCO17.sigmas


@pytest.fixture(scope="module")
def pair(shared: Path) -> Path:
    return shared / "data" / "kpt_results_pair"


def test_the_real_pair_gives_the_numbers_of_its_readme(pair: Path) -> None:
    found = evaluate_results(pair / "gt_1000.json", pair / "results_litehrnet18_256x192.json", SIGMAS)
    assert {name: round(value, 3) for name, value in found.items()} == {
        "AP": 0.827,
        "AP .5": 0.967,
        "AP .75": 0.912,
        "AP (M)": -1,
        "AP (L)": 0.830,
        "AR": 0.863,
        "AR .5": 0.979,
        "AR .75": 0.932,
        "AR (M)": -1,
        "AR (L)": 0.867,
    }
    assert tuple(found) == COCO_NAMES
    assert {type(value) for value in found.values()} == {float}


def test_the_real_pair_equals_pycocotools(pair: Path) -> None:
    truth = json.loads((pair / "gt_1000.json").read_text())
    results = json.loads((pair / "results_litehrnet18_256x192.json").read_text())
    found = evaluate_results(truth, results, SIGMAS)
    np.testing.assert_allclose(list(found.values()), by_pycocotools(truth, results, SIGMAS), atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_perturbed_coco_truth_equals_pycocotools(shared: Path, seed: int) -> None:
    path = shared / "data" / "coco_val2017_eval" / "person_keypoints_val2017_official_subset.json"
    truth = json.loads(path.read_text())
    results = jittered(truth, seed)
    expected = by_pycocotools(truth, results, SIGMAS)
    assert 0.2 < expected[0] < 0.9
    found = evaluate_results(path, results, SIGMAS)
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-12)


@pytest.mark.parametrize("part", ["train", "val"])
def test_the_truth_of_real_photographs_scores_one(shared: Path, part: str) -> None:
    path = shared / "data" / "coco_tiny" / f"person_keypoints_{part}.json"
    truth = json.loads(path.read_text())
    found = evaluate_results(path, as_results(truth), SIGMAS)
    assert found["AP"] == found["AR"] == 1.0
    assert set(found.values()) == {1.0}


def test_only_the_given_images_count(shared: Path) -> None:
    path = shared / "data" / "coco_tiny" / "person_keypoints_val.json"
    truth = json.loads(path.read_text())
    ids = [image["id"] for image in truth["images"]][:20]
    results = jittered(truth, 3)
    found = evaluate_results(path, results, SIGMAS, image_ids=np.array(ids))
    np.testing.assert_allclose(list(found.values()), by_pycocotools(truth, results, SIGMAS, ids), atol=1e-12)


def test_other_skeletons() -> None:
    sigmas = (0.05, 0.1, 0.07)
    truth = annotations(*(person(i % 3 + 1, 60 + 20 * i, number=i + 1, joints=3) for i in range(9)))
    results = jittered(truth, 5)
    found = evaluate_results(truth, results, sigmas)
    np.testing.assert_allclose(list(found.values()), by_pycocotools(truth, results, sigmas), atol=1e-12)


def test_nothing_is_printed_and_the_input_stays(capfd: pytest.CaptureFixture[str]) -> None:
    truth = annotations(person(1, 100))
    results = as_results(truth)
    before = copy.deepcopy((truth, results))
    evaluate_results(truth, results, SIGMAS)
    assert (truth, results) == before
    assert capfd.readouterr() == ("", "")


def test_no_results_score_zero_and_what_does_not_exist_minus_one() -> None:
    found = evaluate_results(annotations(person(1, 50)), [], SIGMAS)
    assert found == {name: (-1.0 if "(L)" in name else 0.0) for name in COCO_NAMES}


def test_nobody_annotated_is_minus_one_throughout() -> None:
    found = evaluate_results(annotations(), as_results(annotations(person(1, 50))), SIGMAS)
    assert found == dict.fromkeys(COCO_NAMES, -1.0)
    assert evaluate_results(annotations(), [], SIGMAS) == dict.fromkeys(COCO_NAMES, -1.0)


def test_without_annotations_there_is_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "image_info_test-dev2017.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "categories": []}))
    assert evaluate_results(path, [], SIGMAS) == {}


def test_annotations_without_area_use_the_box(caplog: pytest.LogCaptureFixture) -> None:
    truth = annotations(person(1, 100), person(2, 150, number=2))
    for annotation in truth["annotations"]:
        annotation["area"] = 0.53 * annotation["bbox"][2] * annotation["bbox"][3]
    results = jittered(truth, 1)
    expected = evaluate_results(truth, results, SIGMAS)
    assert caplog.messages == []
    del truth["annotations"][0]["area"]
    assert evaluate_results(truth, results, SIGMAS) == expected
    assert "1 of 2 annotations have no 'area'" in caplog.text


def test_annotations_need_little_and_may_be_numbered_from_zero() -> None:
    truth = annotations(person(1, 50), person(2, 150, number=2))
    results = as_results(truth)
    for annotation in truth["annotations"]:
        del annotation["num_keypoints"], annotation["iscrowd"]
        annotation["id"] = 0
    truth["annotations"].append({"image_id": 1, "category_id": 1, "bbox": [5, 5, 9, 9], "area": 81})
    truth["annotations"].append({"image_id": 1, "category_id": 1})
    assert set(evaluate_results(truth, results, SIGMAS).values()) == {1.0}


def test_crowdpose_protocol() -> None:
    truth = annotations(*(person(i % 3 + 1, 60 + 20 * i, number=i + 1, joints=14) for i in range(12)))
    for image, crowding in zip(truth["images"], (0.1, 0.2, 0.8), strict=True):
        image["crowdIndex"] = crowding
    for annotation in truth["annotations"]:
        del annotation["area"]
    results = jittered(truth, 2, noise=0.04)
    found = evaluate_results(truth, results, CROWDPOSE14.sigmas)
    assert tuple(found) == CROWDPOSE_NAMES

    reference = copy.deepcopy(truth)
    for annotation in reference["annotations"]:
        annotation["area"] = 0.53 * annotation["bbox"][2] * annotation["bbox"][3]
    whole = by_pycocotools(reference, results, CROWDPOSE14.sigmas)
    parts = [by_pycocotools(reference, results, CROWDPOSE14.sigmas, [i])[0] for i in (1, 2, 3)]
    np.testing.assert_allclose(list(found.values()), [*whole[:3], *whole[5:8], *parts], atol=1e-12)
    assert 0 < found["AP"] < 1
    # Areas that a file has all the same are not CrowdPose's.
    with_areas = copy.deepcopy(truth)
    for annotation in with_areas["annotations"]:
        annotation["area"] = 7.0
    assert evaluate_results(with_areas, results, CROWDPOSE14.sigmas) == found
    plain = evaluate_results(reference, results, CROWDPOSE14.sigmas, protocol="coco")
    assert tuple(plain) == COCO_NAMES


def test_crowdpose_without_images_of_a_kind() -> None:
    truth = annotations(person(1, 90, joints=14), crowdIndex=0.5)
    found = evaluate_results(truth, as_results(truth), CROWDPOSE14.sigmas)
    assert (found["AP(E)"], found["AP(M)"], found["AP(H)"]) == (-1.0, 1.0, -1.0)


RESULT = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{**RESULT, "image_id": 99}], "image 99, which the annotations do not list"),
        ([RESULT, {**RESULT, "keypoints": [1.0] * 42}], "result 1 has 14 joints; expected 17"),
        ([{**RESULT, "category_id": 7}], "category 7, the annotated persons of category 1"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "has no 'keypoints'"),
        ({"AP": 1}, "is a dict|got dict"),
    ],
)
def test_results_that_do_not_fit_are_refused(results: Any, message: str) -> None:
    with pytest.raises(SdposeError, match=message):
        evaluate_results(annotations(person(1, 100)), results, SIGMAS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the annotations"),
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[]", "has no 'images'"),
    ],
)
def test_annotations_that_are_none_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "ann.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SdposeError, match=message):
        evaluate_results(path, [], SIGMAS)


def test_annotations_of_another_skeleton_are_refused() -> None:
    with pytest.raises(SdposeError, match="annotation 1 has 14 joints, the skeleton has 17"):
        evaluate_results(annotations(person(1, 100, joints=14)), [], SIGMAS)
