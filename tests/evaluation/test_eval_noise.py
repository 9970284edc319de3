"""How sure AP is, what changed between two evaluations, and that a stored evaluation is the evaluation."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_results import annotations, as_results, crossed_legs, jittered, person, spread

from sdpose.errors import SdposeError
from sdpose.evaluation.coco_ap import evaluate_results, score_results
from sdpose.evaluation.noise import Evaluation, stored_average_precision
from sdpose.skeleton import COCO17


@pytest.fixture(scope="module")
def truth() -> dict:
    """60 images with two persons each."""
    people = [spread(i // 2 + 1, 100 + i, number=i + 1, left=5000.0 * (i % 2)) for i in range(120)]
    images = [{"id": i + 1, "width": 640, "height": 480} for i in range(60)]
    return {**annotations(*people), "images": images}


def evaluation_of(truth: dict, results: list[dict]) -> Evaluation:
    scene = score_results(truth, results, COCO17.sigmas).scene
    assert scene is not None
    return Evaluation.of(scene, COCO17)


def predicted(truth: dict, seed: int, noise: float, **more: Any) -> list[dict]:
    """Every person once, each with a difficulty of its own that is the same for all seeds."""
    random, difficulty = np.random.RandomState(seed), np.random.RandomState(99)
    results = []
    for result, one in zip(as_results(truth), truth["annotations"], strict=True):
        hard = np.exp(0.7 * difficulty.standard_normal())
        joints = np.array(result["keypoints"], float).reshape(17, 3)
        reach = np.array(COCO17.sigmas)[:, None] * np.sqrt(one["area"]) * hard * noise
        joints[:, :2] += random.standard_normal((17, 2)) * reach
        if random.uniform() < more.get("inverted", 0.0):
            joints = crossed_legs(joints)
        score = float(1 / (1 + hard))
        results.append({**result, "keypoints": joints.reshape(-1).tolist(), "score": score})
    return results


def test_ap_lies_in_its_interval_which_is_the_same_every_time(truth: dict) -> None:
    results = jittered(truth, 0)
    found, again = (evaluation_of(truth, results).interval() for _ in range(2))
    assert found.value == pytest.approx(evaluate_results(truth, results, COCO17.sigmas)["AP"], abs=1e-12)
    assert found.low < found.value < found.high
    assert found == again


def test_an_evaluation_does_not_differ_from_itself(truth: dict) -> None:
    one = evaluation_of(truth, jittered(truth, 0))
    change = one.change_since(one)
    assert (change.value, change.low, change.high, change.beyond_noise) == (0.0, 0.0, 0.0, False)
    assert one.moved_since(one) == {"joints": {}, "errors": {}}


def test_pairing_makes_the_interval_of_a_change_narrower(truth: dict) -> None:
    one, other = (evaluation_of(truth, predicted(truth, seed, 1.0)) for seed in (1, 2))
    paired = float(np.std(one.drawn - other.drawn))
    apart = float(np.hypot(np.std(one.drawn), np.std(other.drawn)))
    assert paired < 0.6 * apart


def test_a_worse_model_is_beyond_noise_and_the_reverse_is_its_mirror(truth: dict) -> None:
    before = evaluation_of(truth, predicted(truth, 1, 1.0))
    after = evaluation_of(truth, predicted(truth, 2, 1.6))
    down, up = after.change_since(before), before.change_since(after)
    assert down.beyond_noise and down.high < 0
    assert (up.value, up.beyond_noise) == (-down.value, True)


def test_an_equal_model_is_within_noise(truth: dict) -> None:
    before, after = (evaluation_of(truth, predicted(truth, seed, 1.0)) for seed in (1, 2))
    assert not after.change_since(before).beyond_noise


def test_left_for_right_moves_inversion_and_what_it_takes_from(truth: dict) -> None:
    before = evaluation_of(truth, predicted(truth, 1, 0.5))
    after = evaluation_of(truth, predicted(truth, 1, 0.5, inverted=0.5))
    moved = after.moved_since(before)
    assert next(iter(moved["errors"])) == "inversion"
    assert moved["errors"]["inversion"] > 0.1
    assert moved["joints"].keys() == {"left_knee", "right_knee", "left_ankle", "right_ankle"}
    assert all(change < -0.1 for change in moved["joints"].values())
    sizes = [abs(change) for change in moved["joints"].values()]
    assert sizes == sorted(sizes, reverse=True)


def stored(evaluation: Evaluation) -> bytes:
    file = io.BytesIO()
    evaluation.save(file)
    return file.getvalue()


def test_a_stored_evaluation_is_the_evaluation(truth: dict, tmp_path: Path) -> None:
    before, after = (evaluation_of(truth, predicted(truth, seed, 1.0)) for seed in (1, 2))
    path = tmp_path / "epoch_1.npz"
    path.write_bytes(stored(before))
    again = Evaluation.load(path)
    assert again.interval() == before.interval()
    assert after.change_since(again) == after.change_since(before)
    assert after.moved_since(again) == after.moved_since(before)
    assert stored_average_precision(path) == before.average_precision
    assert path.stat().st_size < 12_000


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-200], "is no stored evaluation, or damaged"),
        (lambda content: b"", "is no stored evaluation, or damaged"),
        (lambda content: b"AP 0.7", "is no stored evaluation, or damaged"),
    ],
)
def test_damaged_files_are_named(truth: dict, tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "epoch_1.npz"
    path.write_bytes(damage(stored(evaluation_of(truth, as_results(truth)))))
    with pytest.raises(SdposeError, match=message):
        Evaluation.load(path)
    with pytest.raises(SdposeError, match=message):
        stored_average_precision(path)


def test_a_flipped_byte_is_found_on_loading(truth: dict, tmp_path: Path) -> None:
    content = bytearray(stored(evaluation_of(truth, as_results(truth))))
    start = content.find(b"outcome.npy") + len(b"outcome.npy")
    content[start + 30] ^= 0xFF
    path = tmp_path / "epoch_1.npz"
    path.write_bytes(content)
    with pytest.raises(SdposeError, match=r"epoch_1\.npz is no stored evaluation, or damaged"):
        Evaluation.load(path)


def test_a_missing_file_and_another_version_are_named(truth: dict, tmp_path: Path) -> None:
    with pytest.raises(SdposeError, match=r"cannot read .*: No such file"):
        Evaluation.load(tmp_path / "epoch_9.npz")
    path = tmp_path / "other.npz"
    np.savez(path, format=np.int64(2))
    with pytest.raises(SdposeError, match="written by another version"):
        Evaluation.load(path)


def test_other_persons_are_not_compared(truth: dict) -> None:
    one = evaluation_of(truth, as_results(truth))
    fewer = {**truth, "annotations": truth["annotations"][:-1]}
    with pytest.raises(SdposeError, match="looked at different persons"):
        one.change_since(evaluation_of(fewer, as_results(fewer)))
    renamed = replace(one, joint_names=tuple(reversed(one.joint_names)))
    assert not one.is_comparable(renamed)


def test_one_image_says_nothing_about_others() -> None:
    truth = annotations(person(1, 100))
    truth["images"] = truth["images"][:1]
    found = evaluation_of(truth, as_results(truth))
    assert (found.interval().low, found.interval().high) == pytest.approx((1.0, 1.0))
    assert evaluation_of(truth, []).moved_since(found) == {"joints": {}, "errors": {}}


@pytest.mark.parametrize("broken", [np.nan, 1e30])
def test_a_broken_model_is_judged_too(truth: dict, broken: float) -> None:
    before = evaluation_of(truth, predicted(truth, 1, 0.5))
    results = predicted(truth, 1, 0.5)
    for result in results[::2]:
        result["keypoints"] = [broken] * 51
    after = evaluation_of(truth, results)
    change = after.change_since(before)
    assert change.beyond_noise and change.high < -0.2
    moved = after.moved_since(before)
    assert moved["joints"].keys() == set(COCO17.keypoints)
    assert moved["errors"]["not_found"] == 0.5
