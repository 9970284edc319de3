"""Left and right, and the order of the joints, as a whole set of labels shows them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sdpose.check.line import CheckLine, listed
from sdpose.data.anatomy import Share, limb_ratio, sides_report
from sdpose.skeleton import Skeleton

# Shares in COCO val2017: 0.022 exchanged, at most 0.10 of a pair of limbs crossed, limb ratio 0.52. With 1000 people
# seen from the front, one exchanged in ten is a failure and one in twenty a warning.
_EXCHANGED_WARN, _EXCHANGED_FAIL = 0.045, 0.10
_MOST = 0.5
_FEWEST = 20
_LONGEST_LIMBS = 0.75


def sides_line(split: str, keypoints: NDArray[Any], skeleton: Skeleton) -> CheckLine:
    """Fails when left and right are exchanged: in all people, in some, or in one pair of joints."""
    name = f"left and right ({split})"
    report = sides_report(keypoints, skeleton)
    crossed = [f"{limb} ({share.value:.0%})" for limb, share in report.crossed.items() if _mostly(share)]
    if crossed:
        text = f"in most people these limbs cross over to the other side: {listed(crossed)}"
        return CheckLine(name, "fail", text, _one_pair_cure(crossed))
    pairs = [f"{pair} ({share.value:.0%})" for pair, share in report.pairs.items() if _mostly(share)]
    exchanged = report.exchanged
    if exchanged is None:
        text = (
            "limbs stay on their side; without nose, eyes and shoulders the front of a person cannot be told"
        )
        return CheckLine(name, "pass", f"{text}, so look at the picture")
    if exchanged.total < _FEWEST:
        text = (
            f"limbs stay on their side; only {exchanged.total} people show their face, too few to tell more"
        )
        return CheckLine(name, "pass", f"{text}, so look at the picture")
    text = f"{exchanged.count} of {exchanged.total} people seen from the front are labelled as if seen from behind"
    measured = {"exchanged": exchanged.count, "seen_from_front": exchanged.total}
    if exchanged.low > _EXCHANGED_FAIL:
        text += f" ({exchanged.value:.0%}; in COCO 2 %)"
        every = exchanged.low > _MOST
        cure = (
            "left_ joints must be the person's own left; exchange them in the annotation file"
            if every
            else "a part of the labels has left and right exchanged, as after mirroring images without their labels"
        )
        return CheckLine(name, "fail", text, cure, measured)
    if pairs:
        text = f"of people seen from the front most have the other order of: {listed(pairs)}"
        return CheckLine(name, "fail", text, _one_pair_cure(pairs), measured)
    if exchanged.low > _EXCHANGED_WARN:
        cure = "look at some of them; mirrored images need mirrored labels"
        return CheckLine(name, "warn", f"{text} ({exchanged.value:.0%}; in COCO 2 %)", cure, measured)
    return CheckLine(name, "pass", text, measured=measured)


def _mostly(share: Share) -> bool:
    return share.total >= _FEWEST and share.low > _MOST


def _one_pair_cure(found: list[str]) -> str:
    return f"left and right of one pair are exchanged ({found[0].split(' ')[0]}): correct it in the annotation file"


def limb_line(split: str, keypoints: NDArray[Any], skeleton: Skeleton) -> CheckLine:
    """Fails when the limbs of the skeleton connect joints that are far apart, as in a wrong order of joints."""
    name = f"joint order ({split})"
    ratio = limb_ratio(keypoints, skeleton)
    if ratio is None:
        return CheckLine(
            name, "pass", "the skeleton names no limbs, so this cannot be asked; look at the picture"
        )
    text = f"limbs are {ratio:.2f} times as long as other connections of joints (COCO: 0.52)"
    if ratio > _LONGEST_LIMBS:
        cure = f"the file's joints come in another order than dataset_info '{skeleton.name}' says"
        return CheckLine(name, "fail", text, cure, {"limb_ratio": ratio})
    return CheckLine(name, "pass", text, measured={"limb_ratio": ratio})
