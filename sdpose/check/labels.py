"""The labels: are they complete, in their places, each there once, and is left left?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sdpose.assemble.data import Split, skeleton_of
from sdpose.check.data import DATA_CURE
from sdpose.check.line import CheckLine, Status
from sdpose.check.preflight import Preflight
from sdpose.check.sides import limb_line, sides_line
from sdpose.data.annotation_file import interpret_annotations
from sdpose.data.census import Census, take_census
from sdpose.data.json_file import read_json
from sdpose.errors import SdposeError


class _Fault(NamedTuple):
    """What may be wrong: how often, of how many, from which share on it is said, from which it is a failure."""

    what: str
    count: Callable[[Census], int]
    of: Callable[[Census], int]
    warn_above: float
    fail_above: float
    cure: str


def _persons(census: Census) -> int:
    return census.num_persons


def _joints(census: Census) -> int:
    return census.num_joints


# COCO val2017: 1.5 % of the joints outside the crop, in 0.2 % of the persons more than half; nothing of the rest.
_FAULTS = (
    _Fault(
        "joints outside their image",
        lambda census: census.num_joints_outside_image,
        _joints,
        0.0,
        0.01,
        "is the annotation file of these images, at this size?",
    ),
    _Fault(
        "joints outside the crop of their box",
        lambda census: census.num_joints_outside_crop,
        _joints,
        0.05,
        0.15,
        "boxes and joints do not belong together: is bbox [left, top, width, height] in pixels?",
    ),
    _Fault(
        "persons with most joints outside their box",
        lambda census: len(census.elsewhere_rows),
        _persons,
        0.02,
        0.10,
        "box and joints are of two people: were the labels moved or mixed?",
    ),
    _Fault(
        "labelled joints at (0, 0)",
        lambda census: census.num_joints_at_origin,
        _joints,
        0.001,
        0.05,
        "unlabelled joints need the flag 0",
    ),
    _Fault(
        "flags other than 0, 1, 2",
        lambda census: census.num_unknown_flags,
        _joints,
        0.0,
        0.05,
        "COCO's flags are 0 unlabelled, 1 hidden, 2 seen",
    ),
    _Fault(
        "wrong num_keypoints",
        lambda census: census.num_wrong_counts,
        _persons,
        0.0,
        0.5,
        "it counts the joints with a flag above 0; persons with num_keypoints 0 are left out",
    ),
    _Fault(
        "areas larger than their box",
        lambda census: census.num_too_large_areas,
        _persons,
        0.01,
        0.5,
        "area is the person's outline in pixels; OKS, and so AP, depend on it",
    ),
    _Fault(
        "duplicates of another person's joints",
        lambda census: len(census.duplicate_rows),
        _persons,
        0.0,
        0.10,
        "remove them: they count twice in training and cannot both be found",
    ),
    _Fault(
        "annotation ids used twice",
        lambda census: census.num_repeated_ids,
        _persons,
        0.0,
        1.0,
        "give every annotation its own id; other tools need it",
    ),
)


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Each annotation file in turn."""
    data = preflight.settings.data
    splits: list[Split] = ["train", "val"]
    if data.val.ann_file == data.train.ann_file:
        splits.remove("val")
    for number, split in enumerate(splits):
        preflight.show("reading annotations", number, len(splits))
        try:
            yield from _of_split(preflight, split)
        except SdposeError as error:
            yield CheckLine(f"annotations ({split})", "fail", str(error), DATA_CURE)


def _of_split(preflight: Preflight, split: Split) -> Iterator[CheckLine]:
    chosen = getattr(preflight.settings.data, split)
    path = preflight.table(split).ann_file
    skeleton = skeleton_of(chosen)
    content = read_json(path, "annotation file")
    file = interpret_annotations(path, content, skeleton)
    census = take_census(content, file, padding=chosen.pipeline.padding)
    del content  # a gigabyte for COCO's training set
    if not file.has_annotations:
        yield CheckLine(f"annotations ({split})", "pass", f"{path} is a test set: images without annotations")
        return
    yield _count_line(split, census)
    yield _fault_line(split, census)
    yield sides_line(split, file.keypoints, skeleton)
    yield limb_line(split, file.keypoints, skeleton)


def _count_line(split: Split, census: Census) -> CheckLine:
    apart = {
        "crowd regions": census.num_crowd,
        "without joints": census.num_without_joint,
        "without a box": census.num_without_box,
    }
    left_out = ", ".join(f"{count} {what}" for what, count in apart.items() if count)
    text = (
        f"{census.num_persons} persons with {census.num_joints} joints in {census.num_images} images"
        + (f", {census.num_images_without_person} of them empty" if census.num_images_without_person else "")
        + (f"; left out: {left_out}" if left_out else "")
    )
    measured = {"persons": census.num_persons, "joints": census.num_joints, "crowd": census.num_crowd}
    return CheckLine(f"annotations ({split})", "pass", text, measured=measured)


def _fault_line(split: Split, census: Census) -> CheckLine:
    status: Status = "pass"
    found, cures = [], []
    for fault in _FAULTS:
        count, of = fault.count(census), fault.of(census)
        share = count / of if of else 0.0
        if share > fault.warn_above:
            found.append(f"{count} {fault.what} ({share:.1%})")
            cures.append(fault.cure)
            status = "fail" if status == "fail" or share > fault.fail_above else "warn"
    name = f"labels ({split})"
    if found:
        return CheckLine(name, status, "; ".join(found), "; ".join(cures))
    share = census.num_joints_outside_crop / max(census.num_joints, 1)
    text = f"every joint in its image, {1 - share:.1%} in the crop of their box, no duplicates"
    return CheckLine(name, "pass", text)
