"""What a run keeps of its predictions: those of the best and the last evaluation, and the same few persons drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_results import annotations, as_results, jittered, person

from sdpose.errors import SdposeError
from sdpose.evaluation.best_fit import fitted_persons, some_fitted_persons
from sdpose.evaluation.coco_ap import score_results
from sdpose.evaluation.kept_predictions import KeptPredictions
from sdpose.evaluation.noise import Evaluation
from sdpose.evaluation.scene import Scene
from sdpose.past_evaluations import PICTURE, PastEvaluations
from sdpose.skeleton import COCO17

SIGMAS = COCO17.sigmas


@pytest.fixture(scope="module")
def truth() -> dict:
    people = [person(1 + n // 4, 150, number=n + 1) for n in range(12)]
    people[0] |= {"iscrowd": 1}
    for place in range(3, 17):
        people[1]["keypoints"][3 * place + 2] = 0
    people[1]["num_keypoints"] = 3
    return annotations(*people)


def scene_of(truth: dict, results: list[dict]) -> Scene:
    scene = score_results(truth, results, SIGMAS).scene
    assert scene is not None
    return scene


def test_kept_predictions_are_evaluated_to_the_same_numbers(tmp_path: Path, truth: dict) -> None:
    results = jittered(truth, seed=1)
    with (tmp_path / "kept.npz").open("wb") as file:
        KeptPredictions.of(scene_of(truth, results)).save(file)
    again = KeptPredictions.load(tmp_path / "kept.npz").results()
    # A network gives float32; what the drawn results have beyond that is less than a thousandth of a pixel.
    expected = score_results(truth, results, SIGMAS).metrics
    assert score_results(truth, again, SIGMAS).metrics == pytest.approx(expected, abs=1e-9)


def test_no_predictions_are_kept_as_none(tmp_path: Path, truth: dict) -> None:
    with (tmp_path / "kept.npz").open("wb") as file:
        KeptPredictions.of(scene_of(truth, [])).save(file)
    assert KeptPredictions.load(tmp_path / "kept.npz").results() == []


@pytest.mark.parametrize("content", [b"", b"half a fi"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept.npz").write_bytes(content)
    with pytest.raises(SdposeError, match=r"kept\.npz is no stored evaluation, or damaged"):
        KeptPredictions.load(tmp_path / "kept.npz")


def keep(past: PastEvaluations, truth: dict, epoch: int, noise: float) -> str | None:
    scene = scene_of(truth, jittered(truth, seed=epoch, noise=noise))
    past.judge(epoch, Evaluation.of(scene, COCO17))
    return past.keep_predictions(epoch, KeptPredictions.of(scene))


def kept_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("predictions_*"))


def test_those_of_the_best_and_the_last_stay(tmp_path: Path, truth: dict) -> None:
    past = PastEvaluations.of_run(tmp_path, epoch=None)
    folder = tmp_path / "evaluations"
    stay = {1: ["1"], 2: ["2"], 3: ["2", "3"], 4: ["2", "4"]}
    for epoch, noise in ((1, 0.3), (2, 0.01), (3, 0.3), (4, 0.3)):
        assert keep(past, truth, epoch, noise) is None
        assert kept_in(folder) == [f"predictions_epoch_{number}.npz" for number in stay[epoch]]
    # A resume from epoch 3: the fourth will come again.
    past = PastEvaluations.of_run(tmp_path, epoch=3)
    assert kept_in(folder) == ["predictions_epoch_2.npz"]
    keep(past, truth, 4, 0.3)
    # A new run begins with none, and without the old one's picture.
    (folder / PICTURE).write_bytes(b"picture")
    PastEvaluations.of_run(tmp_path, epoch=None, aside=tmp_path / "aside")
    assert list(folder.iterdir()) == []
    assert (tmp_path / "aside" / "evaluations" / PICTURE).exists()
    assert len(kept_in(tmp_path / "aside" / "evaluations")) == 2


def test_a_disk_that_refuses_is_told_and_nothing_else(tmp_path: Path, truth: dict) -> None:
    (tmp_path / "evaluations").write_text("a file where the folder should be")
    said = keep(PastEvaluations(tmp_path / "evaluations"), truth, 1, 0.1)
    assert said is not None
    assert said.startswith("the predictions of this evaluation are not kept: ")


def test_the_same_persons_are_shown_whatever_was_predicted(truth: dict) -> None:
    shown = [
        some_fitted_persons(scene_of(truth, results), COCO17, 6)
        for results in (jittered(truth, seed=1), [], as_results(truth))
    ]
    for other in shown[1:]:
        assert [person.truth.tolist() for person in other] == [person.truth.tolist() for person in shown[0]]
    assert len(shown[0]) == 6
    # Neither the crowd nor the one with three joints, while there are others.
    assert all(np.count_nonzero(person.truth[:, 2]) >= 9 for person in shown[0])
    assert [(person.oks, person.predicted) for person in shown[1]] == [(0.0, None)] * 6
    assert [person.oks for person in shown[2]] == pytest.approx([1.0] * 6)


def test_nobody_annotated_is_nobody_shown() -> None:
    crowd = annotations(person(1, 100) | {"iscrowd": 1})
    assert some_fitted_persons(scene_of(crowd, []), COCO17, 6) == []


def test_each_person_has_the_prediction_that_fits_it_best(truth: dict) -> None:
    persons = list(fitted_persons(truth["annotations"], as_results(truth)[::-1], COCO17))
    assert [each.annotation_id for each in persons] == list(range(2, 13)), "not the crowd"
    assert all(each.oks == pytest.approx(1.0) for each in persons)
    # CrowdPose's annotations have no area; a share of the box is taken.
    without = [
        {name: value for name, value in each.items() if name != "area"} for each in truth["annotations"]
    ]
    assert [each.oks for each in fitted_persons(without, [], COCO17)] == [0.0] * 11
