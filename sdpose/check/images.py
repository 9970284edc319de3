"""The pictures: all there, and a sample of them opened."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from sdpose.assemble.data import Split
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.data.coco import CocoKeypoints
from sdpose.data.images import decode
from sdpose.data.problems import LARGEST_BAD_SHARE

_SECONDS_TO_LOOK, _SECONDS_TO_OPEN = 6.0, 10.0
_MOST_OPENED = 1000
_AT_A_TIME = 256
_CURE = "mend or fetch them, or take them out of the annotation file; a run stops when 1 % are unusable"


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Training and validation images, in an order that spreads over the set."""
    data = preflight.settings.data
    splits: list[Split] = ["train", "val"]
    if (data.val.ann_file, data.val.img_prefix) == (data.train.ann_file, data.train.img_prefix):
        splits.remove("val")
    for split in splits:
        table = preflight.table(split)
        order = np.random.default_rng(0).permutation(len(table.image_paths))
        yield _presence_line(preflight, split, table, order)
        yield _opening_line(preflight, split, table, order)


def _presence_line(preflight: Preflight, split: Split, table: CocoKeypoints, order: np.ndarray) -> CheckLine:
    """Every file is asked for, as far as the time allows: a network disk may need a millisecond each."""
    box = preflight.time_box(_SECONDS_TO_LOOK)
    total, looked, missing = len(order), 0, []
    for start in range(0, total, _AT_A_TIME):
        for row in order[start : start + _AT_A_TIME].tolist():
            looked += 1
            if (problem := _out_of_reach(table.image_paths[row])) is not None:
                missing.append(problem)
        preflight.show(f"looking for images ({split})", looked, total)
        if not box.has():
            break
    cut = "" if looked == total else f" (the other {total - looked} did not fit into {box.seconds:.0f} s)"
    name = f"image files ({split})"
    if missing:
        return _verdict(name, missing, looked, "missing", cut)
    return CheckLine(name, "pass", f"{looked} of {total} looked for, all there{cut}")


def _out_of_reach(path: str) -> str | None:
    """None for a file that is there; otherwise its path, and why if it is not just missing."""
    try:
        os.stat(path)  # noqa: PTH116  # a tenth of the time of Path
    except FileNotFoundError:
        return path
    except OSError as error:
        return f"{path} ({error.strerror})"
    return None


def _opening_line(preflight: Preflight, split: Split, table: CocoKeypoints, order: np.ndarray) -> CheckLine:
    """Those that are there; the line before counts the others."""
    box = preflight.time_box(_SECONDS_TO_OPEN)
    wanted = min(len(order), _MOST_OPENED)
    looked, opened, problems = 0, 0, []
    for row in order[:wanted].tolist():
        looked += 1
        if _out_of_reach(table.image_paths[row]) is None:
            width, height = table.image_sizes_wh[row].tolist()
            _, problem = decode(table.image_paths[row], (width, height))
            opened += 1
            if problem is not None:
                problems.append(problem)
        if looked % 16 == 0:
            preflight.show(f"opening images ({split})", looked, wanted)
        if not box.has():
            break
    cut = "" if looked == wanted else f" ({box.seconds:.0f} s allowed no more)"
    name = f"images open ({split})"
    if problems:
        return _verdict(name, problems, opened, "unusable", cut)
    if not opened:
        return CheckLine(name, "warn", f"none of {looked} is there to be opened{cut}", "see the line above")
    rate = opened / max(box.elapsed_s, 1e-9)
    return CheckLine(
        name,
        "pass",
        f"{opened} of {len(order)} decoded, sizes as annotated, {rate:.0f} a second{cut}",
        measured={"images_per_s": rate},
    )


def _verdict(name: str, found: list[str], looked: int, what: str, cut: str) -> CheckLine:
    share = len(found) / looked
    text = f"{len(found)} of {looked} {what}{cut}: " + "; ".join(found[:3])
    if len(found) > 3:
        text += f"; and {len(found) - 3} more"
    return CheckLine(name, "fail" if share > LARGEST_BAD_SHARE else "warn", text, _CURE, {what: len(found)})
