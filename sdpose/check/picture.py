"""A picture of training samples, for what only eyes can see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from sdpose.assemble.data import training_targets
from sdpose.check.line import CheckLine
from sdpose.check.preflight import Preflight
from sdpose.data.dataset import SampleKey
from sdpose.draw import sample_sheet

FILE_NAME = "training_samples.jpg"
_NUM_SAMPLES = 12


def ask(preflight: Preflight) -> Iterator[CheckLine]:
    """Draw augmented crops, their joints and their targets into the work_dir, or where `--out` says."""
    dataset = preflight.dataset
    rows = np.random.default_rng(0).permutation(len(dataset))[:_NUM_SAMPLES].tolist()
    batch = dataset.__getitems__([SampleKey(0, row) for row in rows])
    targets, weights = training_targets(preflight.settings, batch)
    table = dataset.table
    sheet = sample_sheet(
        batch.images.numpy(),
        batch.joints.numpy(),
        weights[..., 0].numpy(),
        targets.numpy(),
        table.skeleton,
        titles=[Path(table.image_paths[int(dataset.persons.image_index[row])]).name for row in rows],
        heading=f"{len(rows)} training samples of {len(dataset)}, augmented as in training",
    )
    path = preflight.out / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        text = f"{path} cannot be written: {error.strerror}"
        yield CheckLine("picture", "fail", text, "name a folder that can be written with --out DIR")
        return
    yield CheckLine(
        "picture",
        "pass",
        f"look at {path}: joints on the people, orange on their own left, light on every joint",
        measured={"path": str(path)},
    )
