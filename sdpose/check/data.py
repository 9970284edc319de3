"""The data sets: are they there, and are training and validation two things?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdpose.assemble.data import Split, evaluation_data
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.errors import SdposeError

SPLITS: tuple[Split, Split] = ("train", "val")
DATA_CURE = (
    "point --data-root (or SDPOSE_DATA_ROOT) at a COCO folder, or draw one: `sdpose data synth --out DIR` and "
    "--data-root DIR"
)


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """What a run will train on, and what it will be evaluated on."""
    try:
        dataset = preflight.dataset
        text = f"{len(dataset)} persons in {len(dataset.table.image_ids)} images"
        yield CheckLine("training data", "pass", text, measured={"persons": len(dataset)})
        yield from (CheckLine("training data", "warn", note) for note in dataset.table.notes)
    except SdposeError as error:
        yield CheckLine("training data", "fail", str(error), DATA_CURE)
    try:
        data = evaluation_data(preflight.settings, "val")
        text = f"{len(data.persons)} boxes in {len(data.table.image_ids)} images, {data.boxes_from}"
        yield CheckLine("validation data", "pass", text, measured={"boxes": len(data.persons)})
    except SdposeError as error:
        yield CheckLine("validation data", "fail", str(error), DATA_CURE)
    yield from _overlap_lines(preflight)


def _overlap_lines(preflight: Preflight) -> Iterator[CheckLine]:
    """Images that are trained on must not be evaluated on."""
    data = preflight.settings.data
    if Path(data.train.ann_file).resolve() == Path(data.val.ann_file).resolve():
        text = f"both read {data.train.ann_file}: AP will say how well it is remembered"
        yield CheckLine("train and val", "warn", text, "name the validation file in data.val.ann_file")
        return
    try:
        trained, evaluated = (set(preflight.table(split).image_paths) for split in SPLITS)
    except SdposeError:
        return  # said above
    shared = sorted(trained & evaluated)
    if shared:
        text = (
            f"{len(shared)} of {len(evaluated)} validation images are trained on too, for example {shared[0]}"
        )
        yield CheckLine("train and val", "warn", text, "take them out of one of the two annotation files")
    else:
        yield CheckLine("train and val", "pass", "share no image")
