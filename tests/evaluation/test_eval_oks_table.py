"""OKS of all pairs at once is, to the bit, what the library computes person by person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, jittered, person

from sdpose.evaluation import oks_table as module
from sdpose.evaluation.coco_input import fill_areas, read_ground_truth, read_results
from sdpose.evaluation.oks_table import oks_table
from sdpose.skeleton import COCO17

SIGMAS = COCO17.sigmas


def of_the_library(truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[tuple[int, int], np.ndarray]:
    from faster_coco_eval.core.coco import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    silent = lambda *_: None  # noqa: E731
    coco = COCO(truth, print_function=silent)
    engine = COCOeval_faster(
        coco, coco.loadRes(found), "keypoints", kpt_oks_sigmas=list(SIGMAS), print_function=silent
    )
    engine.evaluate()
    return {(int(image), category): oks for (image, category), oks in engine.ious.items() if len(oks)}


def inputs(truth: Any, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    read = read_ground_truth(truth, 17)
    assert read is not None
    fill_areas(read, replace=False)
    return read, read_results(results, read, 17)


@pytest.mark.parametrize("pairs_at_a_time", [100_000, 97])
def test_real_annotations_with_crowds_and_persons_without_joints(
    shared: Path, monkeypatch: pytest.MonkeyPatch, pairs_at_a_time: int
) -> None:
    monkeypatch.setattr(module, "_PAIRS", pairs_at_a_time)
    path = shared / "data" / "coco_val2017_eval" / "person_keypoints_val2017_official_subset.json"
    results = jittered(json.loads(path.read_text()), 4) * 2  # repeated scores, and more than 20 in an image
    truth, found = inputs(path, results)
    assert any(not entry["num_keypoints"] for entry in truth["annotations"])
    table = oks_table(truth["annotations"], found, SIGMAS)
    expected = of_the_library(truth, found)
    assert table.keys() == expected.keys()
    assert max(len(oks) for oks in table.values()) == 20
    for key, oks in expected.items():
        np.testing.assert_array_equal(table[key], oks)


def test_nobody_and_nothing() -> None:
    truth = annotations(person(1, 100), person(2, 150, number=2))
    assert oks_table([], as_results(truth), SIGMAS) == {}
    assert oks_table(truth["annotations"], [], SIGMAS) == {}
    one = oks_table(truth["annotations"], as_results(truth)[:1], SIGMAS)
    assert {key: oks.tolist() for key, oks in one.items()} == {(1, 1): [[1.0]]}
