"""AP and AR recomputed from what was matched once: of the plain set and of any multiset of images."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, by_pycocotools, jittered, person

from sdpose.evaluation import average_precision
from sdpose.evaluation.average_precision import SIZES, Ranking, rank_by_size
from sdpose.evaluation.coco_ap import score_results
from sdpose.skeleton import COCO17

SIGMAS = COCO17.sigmas


def ranking_of(truth: Any, results: Any, sigmas: tuple[float, ...] = SIGMAS) -> Ranking:
    scene = score_results(truth, results, sigmas).scene
    assert scene is not None
    return rank_by_size(scene)


def ten_numbers(ranking: Ranking, counts: Any = None) -> list[float]:
    """In the order of pycocotools' summary."""
    precision, recall = (
        [f(counts, group) for group in range(3)] for f in (ranking.precision, ranking.recall)
    )
    numbers = []
    for values in (precision, recall):
        whole, *sizes = (float(value.mean()) if value is not None else -1.0 for value in values)
        at = [values[0][i] if values[0] is not None else -1.0 for i in (0, 5)]
        numbers += [whole, *at, *sizes]
    return numbers


@pytest.mark.parametrize("seed", [0, 1])
def test_perturbed_coco_truth_equals_pycocotools(shared: Path, seed: int) -> None:
    path = shared / "data" / "coco_val2017_eval" / "person_keypoints_val2017_official_subset.json"
    truth = json.loads(path.read_text())
    results = jittered(truth, seed)
    expected = by_pycocotools(truth, results, SIGMAS)
    np.testing.assert_allclose(ten_numbers(ranking_of(truth, results)), expected, rtol=0, atol=1e-9)


def test_the_real_pair_equals_pycocotools(shared: Path) -> None:
    folder = shared / "data" / "kpt_results_pair"
    truth = json.loads((folder / "gt_1000.json").read_text())
    results = json.loads((folder / "results_litehrnet18_256x192.json").read_text())
    expected = by_pycocotools(truth, results, SIGMAS)
    np.testing.assert_allclose(ten_numbers(ranking_of(truth, results)), expected, rtol=0, atol=1e-9)


def drawn_truth(seed: int, num_persons: int = 40, num_images: int = 9) -> dict:
    """Persons of all sizes, crowds, persons without a joint, images without anybody."""
    random = np.random.RandomState(seed)
    persons = [
        person(int(random.randint(1, num_images + 1)), float(random.uniform(15, 250)), number=i + 1)
        for i in range(num_persons)
    ]
    for one in persons:
        kind = random.uniform()
        if kind < 0.1:
            one["iscrowd"] = 1
        elif kind < 0.2:
            one["keypoints"], one["num_keypoints"] = [0.0] * 51, 0
    truth = annotations(*persons)
    truth["images"] = [{"id": i + 1, "width": 640, "height": 480} for i in range(num_images + 2)]
    return truth


def drawn_results(truth: dict, seed: int, *, levels: int | None = None) -> list[dict]:
    """Perturbed persons and poses on nobody; with `levels` scores repeat within and between images."""
    random = np.random.RandomState(seed + 1000)  # else its first scores would repeat those of `jittered`
    results = jittered(truth, seed)
    for image in truth["images"]:
        for _ in range(random.randint(0, 4)):
            joints = np.column_stack([random.uniform(0, 400, (17, 2)), random.uniform(0, 1, 17)])
            result = {"image_id": image["id"], "category_id": 1, "keypoints": joints.reshape(-1).tolist()}
            results.append({**result, "score": float(random.uniform())})
    if levels:
        for result in results:
            result["score"] = round(result["score"] * levels) / levels
    return results


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("seed", range(6))
def test_drawn_people_equal_pycocotools(seed: int, levels: int | None) -> None:
    truth = drawn_truth(seed)
    results = drawn_results(truth, seed, levels=levels)
    expected = by_pycocotools(truth, results, SIGMAS)
    np.testing.assert_allclose(ten_numbers(ranking_of(truth, results)), expected, rtol=0, atol=1e-9)


def test_no_more_than_twenty_predictions_of_an_image_count() -> None:
    truth = annotations(person(1, 100), person(2, 120, number=2))
    good = as_results(truth)
    wrong = {"image_id": 1, "category_id": 1, "keypoints": [5.0, 5.0, 1.0] * 17, "score": 0.5}
    results = [{**good[0], "score": 0.1}, {**good[1], "score": 0.2}, *([wrong] * 20)]
    numbers = ten_numbers(ranking_of(truth, results))
    np.testing.assert_allclose(numbers, by_pycocotools(truth, results, SIGMAS), rtol=0, atol=1e-9)
    assert numbers[5] == 0.5  # the good one of image 1 is the twenty-first


def repeated(truth: dict, results: list[dict], counts: list[int]) -> tuple[dict, list[dict]]:
    """The data set in which image i is there `counts[i]` times under ids of its own."""
    images, persons, found = [], [], []
    for image, count in zip(truth["images"], counts, strict=True):
        for copy_number in range(count):
            number = 1000 * copy_number + image["id"]
            images.append({**image, "id": number})
            for source, target in ((truth["annotations"], persons), (results, found)):
                target += [
                    {**copy.deepcopy(it), "image_id": number}
                    for it in source
                    if it["image_id"] == image["id"]
                ]
    for number, one in enumerate(persons):
        one["id"] = number + 1
    return {**truth, "images": images, "annotations": persons}, found


@pytest.mark.parametrize("seed", range(6))
def test_a_multiset_equals_pycocotools_on_repeated_images(seed: int) -> None:
    truth = drawn_truth(seed)
    results = drawn_results(truth, seed)
    counts = np.random.RandomState(seed).randint(0, 4, len(truth["images"]))
    expected = by_pycocotools(*repeated(truth, results, counts.tolist()), SIGMAS)
    np.testing.assert_allclose(ten_numbers(ranking_of(truth, results), counts), expected, rtol=0, atol=1e-9)


def test_many_draws_at_once_equal_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = drawn_truth(3)
    ranking = ranking_of(truth, drawn_results(truth, 3))
    counts = np.random.RandomState(3).randint(0, 3, (40, ranking.num_images))
    counts[7] = 0  # nobody to find
    for group in range(len(SIZES)):
        alone = [ranking.average_precision(each, group) for each in counts]
        assert ranking.average_precisions(counts, group).tolist() == alone
        with monkeypatch.context() as patched:
            patched.setattr(average_precision, "_MOST_WEIGHTS", 1)
            assert ranking.average_precisions(counts, group).tolist() == alone
    assert alone[7] == -1.0


@pytest.mark.parametrize(
    ("results", "counts", "expected"),
    [
        ([], None, [0.0, 0.0, -1.0]),
        ("truth", None, [1.0, 1.0, -1.0]),
        ("truth", [0, 3, 0], [1.0, 1.0, -1.0]),
        ("truth", [0, 0, 5], [-1.0, -1.0, -1.0]),
    ],
    ids=["no results", "the truth", "one image thrice", "an image without anybody"],
)
def test_ends_of_the_range(results: Any, counts: list[int] | None, expected: list[float]) -> None:
    truth = annotations(person(1, 50), person(2, 60, number=2))
    ranking = ranking_of(truth, as_results(truth) if results == "truth" else results)
    weights = np.array(counts) if counts else None
    assert [ranking.average_precision(weights, group) for group in range(len(SIZES))] == expected


def test_a_recall_level_needs_the_fewest_persons_whose_share_reaches_it() -> None:
    totals = np.arange(1, 400)
    needed = average_precision._persons_needed(totals)
    shares = np.arange(401)[:, None] / totals  # (n, N): rounded as COCO's code does
    for place, level in enumerate(average_precision.RECALL_LEVELS):
        np.testing.assert_array_equal(needed[:, place], (shares >= level).argmax(0))


def test_without_anybody_annotated_there_is_no_scene() -> None:
    assert score_results(annotations(), [], SIGMAS).scene is None


def test_several_categories_have_no_scene() -> None:
    truth = annotations(person(1, 50), {**person(2, 60, number=2), "category_id": 2})
    truth["categories"].append({"id": 2, "name": "dog"})
    assert score_results(truth, as_results(truth), SIGMAS).scene is None
