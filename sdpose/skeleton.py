"""What a person is made of: joint names, mirror pairs, limbs and the tolerances of the OKS measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdpose.errors import SdposeError, nearest


@dataclass(frozen=True)
class Skeleton:
    """A set of K joints in the order in which annotations, heatmaps and results carry them.

    All tuples hold joint indices 0..K-1. `upper_body` and `lower_body` are the two sets from which the
    half-body augmentation picks. `sigmas` are the K falloffs of the object keypoint similarity (COCO's
    convention).
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    upper_body: tuple[int, ...]
    lower_body: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    @property
    def num_keypoints(self) -> int:
        """K."""
        return len(self.keypoints)

    @property
    def flip_index(self) -> tuple[int, ...]:
        """Permutation of 0..K-1 that swaps left and right."""
        index = list(range(self.num_keypoints))
        for left, right in self.flip_pairs:
            index[left], index[right] = right, left
        return tuple(index)

    @classmethod
    def from_dataset_info(cls, info: Mapping[str, Any]) -> Skeleton:
        """The skeleton a classic config describes in its `dataset_info` dict.

        Read are `dataset_name`, `keypoint_info` ({index: {name, type: upper|lower|'', swap: name|''}}),
        `skeleton_info` ({index: {link: (name, name)}}, may be absent) and `sigmas`. `joint_weights` are left
        alone, as in the published training. Raises SdposeError for a description that does not hold together.
        """
        name = str(info.get("dataset_name", "custom"))
        entries = _ordered_keypoints(name, _required(info, "keypoint_info", name))
        keypoints = tuple(str(entry["name"]) for entry in entries)
        duplicates = {keypoint for keypoint in keypoints if keypoints.count(keypoint) > 1}
        if duplicates:
            raise SdposeError(
                f"dataset_info of '{name}' names joint '{min(duplicates)}' twice; "
                "every joint needs its own name"
            )
        index_of = {keypoint: index for index, keypoint in enumerate(keypoints)}
        sigmas = tuple(float(sigma) for sigma in _required(info, "sigmas", name))
        if len(sigmas) != len(keypoints) or min(sigmas) <= 0:
            raise SdposeError(
                f"dataset_info of '{name}' has {len(sigmas)} sigmas for {len(keypoints)} joints; "
                "expected one positive number a joint"
            )
        links = [entry["link"] for entry in _mapping_values(info.get("skeleton_info") or {})]
        return cls(
            name=name,
            keypoints=keypoints,
            flip_pairs=_flip_pairs(name, entries, index_of),
            upper_body=tuple(i for i, entry in enumerate(entries) if entry.get("type") == "upper"),
            lower_body=tuple(i for i, entry in enumerate(entries) if entry.get("type") == "lower"),
            limbs=tuple((_joint(name, a, index_of), _joint(name, b, index_of)) for a, b in links),
            sigmas=sigmas,
        )


def _required(info: Mapping[str, Any], key: str, name: str) -> Any:
    """`info[key]`, or an error that lists what is there."""
    if not info.get(key):
        raise SdposeError(
            f"dataset_info of '{name}' has no '{key}' (it has: {', '.join(map(str, info)) or 'nothing'}); "
            "copy the block of configs/_base_/datasets/coco.py and adapt it"
        )
    return info[key]


def _mapping_values(table: Mapping[Any, Any]) -> list[Any]:
    """Values of an {index: entry} table in the order of its indices."""
    return [table[key] for key in sorted(table, key=int)]


def _ordered_keypoints(name: str, table: Mapping[Any, Any]) -> list[Mapping[str, Any]]:
    """Entries of `keypoint_info` by index, which must run from 0 without a gap."""
    indices = sorted(int(key) for key in table)
    if indices != list(range(len(table))):
        raise SdposeError(
            f"keypoint_info of '{name}' has the indices {indices}; expected 0..{len(table) - 1} without a gap"
        )
    entries = _mapping_values(table)
    for index, entry in enumerate(entries):
        if "name" not in entry:
            raise SdposeError(f"keypoint_info[{index}] of '{name}' has no 'name'; give every joint one")
    return entries


def _joint(name: str, keypoint: str, index_of: Mapping[str, int]) -> int:
    """Index of a joint that another entry refers to."""
    if keypoint not in index_of:
        raise SdposeError(
            f"dataset_info of '{name}' refers to the joint '{keypoint}', which keypoint_info does not have."
            f"{nearest(keypoint, index_of)}"
        )
    return index_of[keypoint]


def _flip_pairs(
    name: str, entries: list[Mapping[str, Any]], index_of: Mapping[str, int]
) -> tuple[tuple[int, int], ...]:
    """(left, right) index pairs from the `swap` names, which must be mutual."""
    pairs = []
    for index, entry in enumerate(entries):
        if not entry.get("swap"):
            continue
        partner = _joint(name, entry["swap"], index_of)
        if entries[partner].get("swap") != entry["name"]:
            raise SdposeError(
                f"dataset_info of '{name}': '{entry['name']}' swaps with '{entry['swap']}', but that one "
                f"swaps with '{entries[partner].get('swap', '')}'; mirror pairs must name each other"
            )
        if index < partner:
            pairs.append((index, partner))
    return tuple(pairs)


COCO17 = Skeleton(
    name="coco",
    keypoints=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    upper_body=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    lower_body=(11, 12, 13, 14, 15, 16),
    limbs=(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 11),
        (6, 12),
        (5, 6),
        (5, 7),
        (6, 8),
        (7, 9),
        (8, 10),
        (1, 2),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (4, 6),
    ),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
"""COCO's 17 joints."""

CROWDPOSE14 = Skeleton(
    name="crowdpose",
    keypoints=(
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "top_head",
        "neck",
    ),
    flip_pairs=((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)),
    upper_body=(0, 1, 2, 3, 4, 5, 12, 13),
    lower_body=(6, 7, 8, 9, 10, 11),
    limbs=(
        (10, 8),
        (8, 6),
        (11, 9),
        (9, 7),
        (6, 7),
        (0, 6),
        (1, 7),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (12, 13),
        (1, 13),
        (0, 13),
    ),
    sigmas=(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
)
"""CrowdPose's 14 joints."""
