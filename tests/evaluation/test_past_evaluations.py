"""Each evaluation of a run is judged against the one before and the best, and a resume changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_results import annotations, as_results, person

from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.noise import Evaluation
from sdpose.past_evaluations import Judgement, PastEvaluations, judge_alone
from sdpose.skeleton import COCO17

NUM_IMAGES = 30
LEVELS = (2.5, 1.2, 1.2, 1.8, 0.7)


@pytest.fixture(scope="module")
def truth() -> dict:
    people = [person(i + 1, 150, number=i + 1) for i in range(NUM_IMAGES)]
    return {**annotations(*people), "images": [{"id": i + 1} for i in range(NUM_IMAGES)]}


def evaluation_of(truth: dict, noise: float, seed: int) -> Evaluation:
    random = np.random.RandomState(seed)
    results = []
    for result in as_results(truth):
        joints = np.array(result["keypoints"], float).reshape(17, 3)
        joints[:, :2] += random.standard_normal((17, 2)) * np.array(COCO17.sigmas)[:, None] * 150 * noise
        score = float(random.uniform())
        results.append({**result, "keypoints": joints.reshape(-1).tolist(), "score": score})
    scene = score_results(truth, results, COCO17.sigmas).scene
    assert scene is not None
    return Evaluation.of(scene, COCO17)


@pytest.fixture(scope="module")
def evaluations(truth: dict) -> list[Evaluation]:
    """Five epochs: bad, good, the same, worse, best."""
    found = [evaluation_of(truth, noise, seed) for seed, noise in enumerate(LEVELS)]
    found[2] = found[1]
    return found


def judged(past: PastEvaluations, evaluations: list[Evaluation], first: int = 1) -> list[Judgement]:
    return [
        past.judge(epoch, evaluation)
        for epoch, evaluation in enumerate(evaluations[first - 1 :], start=first)
    ]


def test_the_first_has_nothing_to_be_compared_with(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    first = PastEvaluations(tmp_path / "evaluations").judge(1, evaluations[0])
    assert first == judge_alone(evaluations[0])
    assert first.noise.keys() == {"AP_low", "AP_high"}
    assert first.noise["AP_low"] < evaluations[0].average_precision < first.noise["AP_high"]


def test_later_ones_tell_the_change_and_the_distance_from_the_best(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    scores = [evaluation.average_precision for evaluation in evaluations]
    found = judged(PastEvaluations(tmp_path / "evaluations"), evaluations)
    for epoch, judgement in enumerate(found[1:], start=2):
        noise, now = judgement.noise, scores[epoch - 1]
        assert noise["AP_change"] == pytest.approx(now - scores[epoch - 2], abs=1e-12)
        assert noise["AP_below_best"] == pytest.approx(max(scores[: epoch - 1]) - now, abs=1e-12)
        for name in ("AP_change", "AP_below_best"):
            assert noise[f"{name}_low"] <= noise[name] <= noise[f"{name}_high"]
        assert judgement.notes == ()
    compared = [judgement.details["compared_with"] for judgement in found[1:]]
    assert compared == [
        {"previous": 1, "best": 1},
        {"previous": 2, "best": 2},
        {"previous": 3, "best": 2},  # of equal ones the first
        {"previous": 4, "best": 2},
    ]
    assert found[1].noise["AP_change_low"] > 0
    assert found[1].details["moved"]["errors"]["miss"] < 0
    assert found[2].details["moved"] == {"joints": {}, "errors": {}}
    assert found[3].noise["AP_below_best_low"] > 0
    assert found[4].noise["AP_below_best_high"] < 0


def test_values_are_plain_numbers(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    past = PastEvaluations(tmp_path / "evaluations")
    for judgement in judged(past, evaluations):
        moved = judgement.details.get("moved", {"joints": {}, "errors": {}})
        values = [*judgement.noise.values(), *moved["joints"].values(), *moved["errors"].values()]
        assert {type(value) for value in values} == {float}
        assert all(np.isfinite(values))


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_after_a_resume_it_is_as_if_nothing_had_happened(
    tmp_path: Path, evaluations: list[Evaluation], epoch: int
) -> None:
    expected = judged(PastEvaluations.of_run(tmp_path, epoch=None), evaluations)
    # Everything was evaluated, but the checkpoint is from `epoch`; its own evaluation may have to be made again.
    for again in (epoch, epoch + 1):
        past = PastEvaluations.of_run(tmp_path, epoch=epoch)
        assert judged(past, evaluations, again) == expected[again - 1 :]


def test_a_resume_elsewhere_takes_those_beside_the_checkpoint(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    expected = judged(PastEvaluations.of_run(tmp_path / "one", epoch=None), evaluations)
    past = PastEvaluations.of_run(tmp_path / "other", epoch=2, source=tmp_path / "one")
    assert judged(past, evaluations, 3) == expected[2:]
    assert len(list((tmp_path / "one" / "evaluations").iterdir())) == len(LEVELS)


def test_evaluations_that_will_come_again_are_removed(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    judged(PastEvaluations.of_run(tmp_path, epoch=None), evaluations)
    PastEvaluations.of_run(tmp_path, epoch=3)
    names = sorted(path.name for path in (tmp_path / "evaluations").iterdir())
    assert names == ["epoch_1.npz", "epoch_2.npz", "epoch_3.npz"]


def test_a_run_that_goes_back_in_time_compares_with_what_came_before(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    past = PastEvaluations.of_run(tmp_path, epoch=None)
    expected = judged(past, evaluations)
    assert judged(past, evaluations, 3) == expected[2:]


def test_a_new_run_begins_with_none_and_keeps_the_old_ones_aside(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    judged(PastEvaluations.of_run(tmp_path, epoch=None), evaluations)
    stamp = 1_700_000_000
    for path in (tmp_path / "evaluations").iterdir():
        os.utime(path, (stamp, stamp))
    past = PastEvaluations.of_run(tmp_path, epoch=None)
    assert past.judge(9, evaluations[4]).noise.keys() == {"AP_low", "AP_high"}
    (aside,) = tmp_path.glob("previous_2023*")
    assert len(list((aside / "evaluations").iterdir())) == len(LEVELS)
    PastEvaluations.of_run(tmp_path, epoch=None, aside=tmp_path / "previous_given")
    assert [path.name for path in (tmp_path / "previous_given" / "evaluations").iterdir()] == ["epoch_9.npz"]


def test_a_damaged_file_is_passed_over_and_named_once(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    judged(PastEvaluations.of_run(tmp_path, epoch=None), evaluations[:3])
    (tmp_path / "evaluations" / "epoch_3.npz").write_bytes(b"half a fi")
    past = PastEvaluations.of_run(tmp_path, epoch=3)
    fourth = past.judge(4, evaluations[3])
    assert fourth.details["compared_with"] == {"previous": 2, "best": 2}
    (note,) = fourth.notes
    assert "epoch_3.npz is no stored evaluation" in note
    assert past.judge(5, evaluations[4]).notes == ()


def test_a_disk_that_refuses_costs_only_the_memory(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    expected = judged(PastEvaluations(tmp_path / "writable" / "evaluations"), evaluations)
    (tmp_path / "evaluations").write_text("a file where the folder should be")
    found = judged(PastEvaluations(tmp_path / "evaluations"), evaluations)
    assert [it.noise for it in found] == [it.noise for it in expected]
    assert [it.details for it in found] == [it.details for it in expected]
    assert all("not there to compare with after a resume" in it.notes[0] for it in found)


def test_other_annotations_are_not_compared(
    tmp_path: Path, truth: dict, evaluations: list[Evaluation]
) -> None:
    past = PastEvaluations(tmp_path / "evaluations")
    past.judge(1, evaluations[0])
    fewer = {**truth, "annotations": truth["annotations"][:-2]}
    second = past.judge(2, evaluation_of(fewer, 1.0, 1))
    assert second.noise.keys() == {"AP_low", "AP_high"}
    assert "moved" not in second.details
    assert any("measured on other persons" in note for note in second.notes)


def test_only_the_last_and_the_best_stay_in_memory(tmp_path: Path, evaluations: list[Evaluation]) -> None:
    past = PastEvaluations(tmp_path / "evaluations")
    judged(past, evaluations[:4])
    at_hand = [epoch for epoch, kept in past._kept.items() if kept.evaluation is not None]
    assert at_hand == [2, 4]
    shutil.rmtree(tmp_path / "evaluations")
    assert past.judge(5, evaluations[4]).notes == ()


def test_what_another_runs_folder_has_of_later_epochs_is_not_taken_over(
    tmp_path: Path, evaluations: list[Evaluation]
) -> None:
    judged(PastEvaluations(tmp_path / "first" / "evaluations"), evaluations)
    past = PastEvaluations(tmp_path / "second" / "evaluations")
    past.go_on(2, tmp_path / "first")
    later = past.judge(5, evaluations[4])
    assert later.details["compared_with"] == {"previous": 2, "best": 2}
