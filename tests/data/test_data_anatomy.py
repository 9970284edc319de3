"""Left and right judged over a whole set, on drawn people and on photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sdpose.data.anatomy import Share, limb_ratio, sides_report
from sdpose.data.annotation_file import read_annotation_file
from sdpose.data.synthetic import make_dataset
from sdpose.skeleton import COCO17, CROWDPOSE14

FLIP = list(COCO17.flip_index)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float64]:
    """Joints of some 200 drawn people (A, 17, 3)."""
    folder = tmp_path_factory.mktemp("anatomy") / "set"
    make_dataset(
        folder, num_train_images=100, num_val_images=1, image_size_wh=(128, 128), seed=1, num_workers=0
    )
    path = folder / "annotations" / "person_keypoints_train2017.json"
    return read_annotation_file(path, COCO17).keypoints


@pytest.mark.parametrize(
    ("count", "total", "value", "low", "high"),
    [
        (0, 0, 0.0, 0.0, 1.0),
        (0, 10, 0.0, 0.0, 0.3996),
        (5, 10, 0.5, 0.1839, 0.8161),
        (50, 1000, 0.05, 0.0350, 0.0709),
    ],
)
def test_a_share_knows_how_sure_it_is(count: int, total: int, value: float, low: float, high: float) -> None:
    share = Share(count, total)
    assert (share.value, share.low, share.high) == pytest.approx((value, low, high), abs=1e-3)


def test_nobody_says_nothing() -> None:
    report = sides_report(np.zeros((0, 17, 3)), COCO17)
    assert report.exchanged == Share(0, 0)
    assert limb_ratio(np.zeros((0, 17, 3)), COCO17) is None


def test_drawn_people_have_their_left_on_the_left(people: NDArray[np.float64]) -> None:
    report = sides_report(people, COCO17)
    assert report.exchanged is not None and report.exchanged.total > 80
    assert report.exchanged.count == 0
    assert max(share.value for share in report.crossed.values()) < 0.15


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_exchanged_persons_are_counted(people: NDArray[np.float64], share: float) -> None:
    chosen = np.random.default_rng(0).random(len(people)) < share
    exchanged = people.copy()
    exchanged[chosen] = people[chosen][:, FLIP]
    report = sides_report(exchanged, COCO17)
    assert report.exchanged is not None
    assert report.exchanged.low <= share <= report.exchanged.high
    assert chosen[report.rows].all()


def test_one_exchanged_pair_is_named(people: NDArray[np.float64]) -> None:
    exchanged = people.copy()
    exchanged[:, [9, 10]] = people[:, [10, 9]]
    report = sides_report(exchanged, COCO17)
    assert {name for name, share in report.pairs.items() if share.low > 0.5} == {"wrist"}
    assert {name for name, share in report.crossed.items() if share.low > 0.5} == {"elbow-wrist"}


def test_joints_in_another_order_make_long_limbs(people: NDArray[np.float64]) -> None:
    healthy = limb_ratio(people, COCO17)
    assert healthy is not None and healthy < 0.6
    order = np.random.default_rng(0).permutation(17)
    shuffled = limb_ratio(people[:, order], COCO17)
    assert shuffled is not None and shuffled > 0.75


def test_a_skeleton_without_a_face_has_no_front(people: NDArray[np.float64]) -> None:
    report = sides_report(people[:, :14], CROWDPOSE14)
    assert report.exchanged is None
    assert "shoulder-elbow" in report.crossed


@pytest.mark.parametrize(
    "name", ["coco_tiny/person_keypoints_train.json", "lsp400/person_keypoints_train.json"]
)
def test_photographed_people_are_found_healthy(shared: Path, name: str) -> None:
    keypoints = read_annotation_file(shared / "data" / name, COCO17).keypoints
    report = sides_report(keypoints, COCO17)
    assert report.exchanged is not None and report.exchanged.low < 0.02
    assert max(share.low for share in report.crossed.values()) < 0.2
    ratio = limb_ratio(keypoints, COCO17)
    assert ratio is not None and 0.4 < ratio < 0.65
