"""AP 0: one link broken at a time, with the shipped demo weights, which see people; the first broken link is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted_faults import copy_of, edit, explained

from sdpose.data.synthetic import make_dataset
from sdpose.errors import SdposeError
from sdpose.explain import Explanation, find_case
from sdpose.skeleton import COCO17
from sdpose.training.checkpoint import load_checkpoint, save_checkpoint

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = REPOSITORY / "configs" / "demo" / "sdpose_demo.py"
WEIGHTS = REPOSITORY / "sdpose" / "weights" / "sdpose_demo.pth"


@pytest.fixture(scope="module")
def demo_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 training and 24 validation pictures of the demo's size."""
    folder = tmp_path_factory.mktemp("demo") / "set"
    make_dataset(folder, num_train_images=4, num_val_images=24, seed=5, num_workers=0)
    return folder


@pytest.fixture
def root(tmp_path: Path, demo_people: Path) -> Path:
    """Their annotations and boxes, free to be spoilt."""
    return copy_of(demo_people, tmp_path)


def walked(root: Path, weights: Callable[[dict[str, Any]], None] | None = None) -> Explanation:
    """The chain of the shipped weights, changed or not."""
    path = root.parent / "demo.pth"
    checkpoint = load_checkpoint(WEIGHTS)
    if weights is not None:
        weights(dict(checkpoint.state_dict))
    save_checkpoint(path, checkpoint)
    return explained(path, config=DEMO, data_root=str(root), chain=True)


def outcomes(found: Explanation) -> dict[str, str]:
    return {one.name.removeprefix("chain."): one.outcome for one in found.experiments}


def boxes_of(root: Path) -> Path:
    return next((root / "person_detection_results").iterdir())


def val_of(root: Path) -> Path:
    return root / "annotations" / "person_keypoints_val2017.json"


def moved_on(ids: list[int]) -> dict[int, int]:
    """Each image id -> one that is not the next, as that is what chance is measured with."""
    return dict(zip(ids, ids[5:] + ids[:5], strict=True))


def test_a_whole_chain_is_not_explained_away(root: Path) -> None:
    found = walked(root)
    assert set(outcomes(found).values()) == {"healthy"}
    assert (found.reproduced, found.cause, found.exit_code) == (False, None, 1)


def test_foreign_boxes_are_told_from_foreign_annotations(root: Path) -> None:
    def move_boxes(boxes: Any) -> None:
        other = moved_on(sorted({box["image_id"] for box in boxes}))
        for box in boxes:
            box["image_id"] = other[box["image_id"]]

    edit(boxes_of(root), move_boxes)
    found = walked(root)
    assert (found.cause, found.exit_code) == ("data", 0)
    assert str(boxes_of(root)) in found.verdict
    assert "The first broken link is the boxes" in found.verdict
    assert outcomes(found)["boxes"] == outcomes(found)["whose"] == "fault"
    ids = {image["id"] for image in json.loads(val_of(root).read_text())["images"]}
    assert found.suspects
    assert {one.image_id for one in found.suspects} <= ids


def test_foreign_annotations_are_told_from_foreign_boxes(root: Path) -> None:
    def move_people(content: Any) -> None:
        other = moved_on([image["id"] for image in content["images"]])
        for annotation in content["annotations"]:
            annotation["image_id"] = other[annotation["image_id"]]

    edit(val_of(root), move_people)
    found = walked(root)
    assert found.cause == "data"
    assert "The first broken link is the annotations" in found.verdict
    assert str(val_of(root)) in found.verdict


def corners(box: dict[str, Any]) -> None:
    x, y, width, height = box["bbox"]
    box["bbox"] = [x, y, x + width, y + height]


def half_size(box: dict[str, Any]) -> None:
    box["bbox"] = [value / 2 for value in box["bbox"]]


@pytest.mark.parametrize(
    ("change", "reading"),
    [(corners, "left, top, right, bottom"), (half_size, "pixels of a picture half as large")],
)
def test_boxes_written_otherwise_are_read(
    root: Path, change: Callable[[dict[str, Any]], None], reading: str
) -> None:
    edit(boxes_of(root), lambda boxes: [change(box) for box in boxes])
    found = walked(root)
    assert found.cause == "data"
    assert f"read as {reading} it would be 100%" in found.verdict


def test_sides_exchanged_in_the_annotations_are_seen(root: Path) -> None:
    def exchange(content: Any) -> None:
        for annotation in content["annotations"]:
            points = annotation["keypoints"]
            annotation["keypoints"] = [
                value for joint in COCO17.flip_index for value in points[3 * joint : 3 * joint + 3]
            ]

    edit(val_of(root), exchange)
    found = walked(root)
    assert found.cause == "data"
    assert outcomes(found)["poses"] == "fault"
    poses = next(one for one in found.experiments if one.name == "chain.poses")
    assert float(poses.numbers["exchanged"]) > float(poses.numbers["oks"]) + 0.2


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[]", "is an empty list"),
        ('[{"image_id": 77777, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "77777"),
    ],
)
def test_a_box_file_of_another_set_is_named(root: Path, content: str, named: str) -> None:
    boxes_of(root).write_text(content)
    found = walked(root)
    assert (found.cause, outcomes(found)["files"]) == ("data", "fault")
    assert named in found.verdict
    assert str(boxes_of(root)) in found.verdict
    # What needs no boxes is looked at all the same.
    assert outcomes(found)["weights"] == "healthy"


def test_pictures_that_cannot_be_used_are_named(root: Path, demo_people: Path) -> None:
    pictures = root / "val2017"
    pictures.unlink()
    shutil.copytree(demo_people / "val2017", pictures)
    spoilt = sorted(pictures.iterdir())[::2]
    for path in spoilt:
        path.write_bytes(path.read_bytes()[:100])
    found = walked(root)
    assert (found.cause, outcomes(found)["pictures"]) == ("data", "fault")
    assert {one.file_name for one in found.suspects} <= {path.name for path in spoilt}
    assert len(found.suspects) == 5


def test_dead_heatmaps_are_a_state(root: Path) -> None:
    def kill(weights: dict[str, Any]) -> None:
        for name in weights:
            if "mlp_head" in name:
                weights[name].zero_()

    found = walked(root, kill)
    assert (found.cause, outcomes(found)["heatmaps"]) == ("state", "fault")
    assert "The first broken link is the heatmaps: 100% of them are flat" in found.verdict
    assert outcomes(found)["round_trip"] == outcomes(found)["boxes"] == "healthy"


def test_spoilt_statistics_of_batch_norm_are_a_state(root: Path) -> None:
    def spoil(weights: dict[str, Any]) -> None:
        for name in weights:
            if name.endswith("running_var"):
                weights[name].mul_(100)

    found = walked(root, spoil)
    assert found.cause == "state"
    assert "The first broken link is batch norm" in found.verdict


def test_weights_that_are_not_finite_are_a_state(root: Path) -> None:
    def spoil(weights: dict[str, Any]) -> None:
        weights["backbone.conv1.weight"][0] = float("nan")

    found = walked(root, spoil)
    assert found.cause == "state"
    assert "backbone.conv1.weight" in found.verdict


def test_a_run_without_checkpoints_has_no_weights_to_walk_with(tmp_path: Path) -> None:
    with pytest.raises(SdposeError, match="has no checkpoint, and --chain walks with the weights of one"):
        find_case(tmp_path, chain=True)
