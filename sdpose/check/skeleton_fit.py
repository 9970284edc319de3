"""The skeleton in itself: do names, mirror pairs, limbs and tolerances belong together?"""

from __future__ import annotations

from collections import Counter

from sdpose.check.line import CheckLine, listed
from sdpose.skeleton import COCO17, CROWDPOSE14, Skeleton

_KNOWN_SIGMAS = {
    name: sigma
    for known in (CROWDPOSE14, COCO17)
    for name, sigma in zip(known.keypoints, known.sigmas, strict=True)
}
_SIDES = {"left": "right", "right": "left"}
_SIGMA_RANGE = (0.005, 0.3)


def flip_pair_line(skeleton: Skeleton) -> CheckLine:
    """Mirror pairs against the names: left_x belongs to right_x, and every joint to one pair at most."""
    text = f"{len(skeleton.flip_pairs)} pairs of {skeleton.num_keypoints} joints ('{skeleton.name}')"
    uses = Counter(joint for pair in skeleton.flip_pairs for joint in pair)
    repeated = [skeleton.keypoints[joint] for joint, count in uses.items() if count > 1]
    if repeated:
        return CheckLine("flip pairs", "fail", f"{text}; in more than one: {listed(repeated)}", _CURE)
    wrong = [
        f"{name} with {skeleton.keypoints[partner]} instead of {expected}"
        for index, (name, partner) in enumerate(zip(skeleton.keypoints, skeleton.flip_index, strict=True))
        if (expected := _partner_name(name)) in skeleton.keypoints
        and skeleton.keypoints[partner] != expected
        and index <= skeleton.keypoints.index(expected)
    ]
    if wrong:
        return CheckLine("flip pairs", "fail", f"{text}; mirrored are {listed(wrong)}", _CURE)
    across = [
        f"{skeleton.keypoints[a]} and {skeleton.keypoints[b]}"
        for a, b in skeleton.flip_pairs
        if _partner_name(skeleton.keypoints[a]) != skeleton.keypoints[b]
    ]
    if across and len(across) < len(skeleton.flip_pairs):
        return CheckLine("flip pairs", "warn", f"{text}; names that do not pair: {listed(across)}", _CURE)
    told = "" if not across else "; their names tell no side, so look at the picture"
    return CheckLine("flip pairs", "pass", text + told)


_CURE = "correct `swap` in dataset_info.keypoint_info; a wrong pair spoils mirrored samples and the flip test"


def _partner_name(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{_SIDES[side]}_{rest}" if side in _SIDES else name


def sigma_line(skeleton: Skeleton) -> CheckLine:
    """The tolerances of OKS: COCO's for COCO's joints, and the same for both sides."""
    pairs = list(zip(skeleton.keypoints, skeleton.sigmas, strict=True))
    low, high = _SIGMA_RANGE
    text = f"{min(skeleton.sigmas):g} to {max(skeleton.sigmas):g}"
    impossible = [f"{name} {sigma:g}" for name, sigma in pairs if not low <= sigma <= high]
    if impossible:
        cure = "COCO's lie between 0.025 and 0.107; copy them from configs/_base_/datasets/coco.py"
        return CheckLine("OKS sigmas", "fail", f"{text}; out of the question: {listed(impossible)}", cure)
    other = [
        f"{name} {sigma:g} (COCO: {_KNOWN_SIGMAS[name]:g})"
        for name, sigma in pairs
        if name in _KNOWN_SIGMAS and abs(sigma - _KNOWN_SIGMAS[name]) > 0.01 * _KNOWN_SIGMAS[name]
    ]
    if other:
        cure = "with other sigmas AP cannot be compared with published numbers; copy COCO's into dataset_info"
        return CheckLine("OKS sigmas", "warn", f"{text}; unlike COCO's: {listed(other)}", cure)
    uneven = [
        skeleton.keypoints[a] for a, b in skeleton.flip_pairs if skeleton.sigmas[a] != skeleton.sigmas[b]
    ]
    if uneven:
        cure = "give both sides of a pair the same"
        return CheckLine("OKS sigmas", "warn", f"{text}; left and right differ: {listed(uneven)}", cure)
    return CheckLine("OKS sigmas", "pass", text)
