"""Skeletons: the two that are built in, and those that configs describe."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17, CROWDPOSE14, Skeleton


def describe(skeleton: Skeleton) -> dict[str, Any]:
    """The `dataset_info` dict a config would carry for `skeleton`."""
    names, mirror = skeleton.keypoints, skeleton.flip_index
    halves = {
        **dict.fromkeys(skeleton.upper_body, "upper"),
        **dict.fromkeys(skeleton.lower_body, "lower"),
    }
    return {
        "dataset_name": skeleton.name,
        "keypoint_info": {
            i: {
                "name": name,
                "id": i,
                "color": [0, 255, 0],
                "type": halves[i],
                "swap": names[mirror[i]] if mirror[i] != i else "",
            }
            for i, name in enumerate(names)
        },
        "skeleton_info": {
            i: {"link": (names[a], names[b]), "id": i} for i, (a, b) in enumerate(skeleton.limbs)
        },
        "joint_weights": [1.0] * len(names),
        "sigmas": list(skeleton.sigmas),
    }


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda s: s.name)
def test_a_described_skeleton_reads_back_equal(skeleton: Skeleton) -> None:
    assert Skeleton.from_dataset_info(describe(skeleton)) == skeleton


def test_indices_written_as_text_keep_their_numeric_order() -> None:
    info = describe(COCO17)
    info["keypoint_info"] = {str(key): value for key, value in reversed(info["keypoint_info"].items())}
    assert Skeleton.from_dataset_info(info) == COCO17


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda s: s.name)
def test_mirroring_swaps_left_and_right_names_and_undoes_itself(skeleton: Skeleton) -> None:
    mirror = skeleton.flip_index
    assert [mirror[i] for i in mirror] == list(range(skeleton.num_keypoints))
    for name, partner in zip(skeleton.keypoints, (skeleton.keypoints[i] for i in mirror), strict=True):
        assert partner == name.replace("left_", "*").replace("right_", "left_").replace("*", "right_")


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda s: s.name)
def test_every_joint_belongs_to_one_half_and_has_a_tolerance(skeleton: Skeleton) -> None:
    assert sorted(skeleton.upper_body + skeleton.lower_body) == list(range(skeleton.num_keypoints))
    assert len(skeleton.sigmas) == skeleton.num_keypoints


def broken(**changes: Any) -> dict[str, Any]:
    info = copy.deepcopy(describe(COCO17))
    info.update(changes)
    return info


def one_sided_swap() -> dict[str, Any]:
    info = broken()
    info["keypoint_info"][5]["swap"] = "right_elbow"
    return info


def unknown_link() -> dict[str, Any]:
    info = broken()
    info["skeleton_info"][0]["link"] = ("left_ankel", "left_knee")
    return info


def gap() -> dict[str, Any]:
    info = broken()
    info["keypoint_info"][20] = info["keypoint_info"].pop(3)
    return info


def twice() -> dict[str, Any]:
    info = broken()
    info["keypoint_info"][0]["name"] = "neck"
    info["keypoint_info"][1]["name"] = "neck"
    return info


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({}, "dataset_info of 'custom' has no 'keypoint_info' (it has: nothing); copy the block of "),
        (broken(sigmas=[0.1, 0.1]), "has 2 sigmas for 17 joints; expected one positive number a joint"),
        (
            broken(sigmas=None),
            "dataset_info of 'coco' has no 'sigmas' (it has: dataset_name, keypoint_info, ",
        ),
        (
            one_sided_swap(),
            "'left_shoulder' swaps with 'right_elbow', but that one swaps with 'left_elbow'; mirror pairs",
        ),
        (
            unknown_link(),
            "refers to the joint 'left_ankel', which keypoint_info does not have. Did you mean 'left_ankle'?",
        ),
        (gap(), "expected 0..16 without a gap"),
        (twice(), "names joint 'neck' twice; every joint needs its own name"),
    ],
    ids=["empty", "short sigmas", "no sigmas", "one-sided swap", "unknown link", "gap", "twice"],
)
def test_a_description_that_does_not_hold_together_is_refused(info: dict[str, Any], message: str) -> None:
    with pytest.raises(SdposeError) as error:
        Skeleton.from_dataset_info(info)
    assert message in str(error.value)
