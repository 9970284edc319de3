"""Trainings with a planted fault: their data spoilt, or a loss of their own that breaks at the right moment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_runs import write_config

from sdpose.assemble.machine import choose_machine
from sdpose.assemble.user_code import import_user_code
from sdpose.cli.main import main
from sdpose.data.coco import load_coco
from sdpose.data.loader import epoch_order
from sdpose.explain import Explanation, explain_case, find_case
from sdpose.skeleton import COCO17
from sdpose.training.distributed import World

SEED = 1
# The tiny training: 8 samples a batch, 4 batches an epoch.
BATCH, BATCHES = 8, 4

OWN_LOSS = """\
import torch
from pathlib import Path

class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, cycles, target, weight):
        heatmaps = cycles[0].heatmaps
{body}
"""


def copy_of(people: Path, folder: Path) -> Path:
    """The drawn people with annotations and boxes of their own, free to be spoilt."""
    root = folder / "data"
    root.mkdir()
    for part in ("annotations", "person_detection_results"):
        shutil.copytree(people / part, root / part)
    for part in ("train2017", "val2017"):
        (root / part).symlink_to(people / part)
    return root


def tiny_config(folder: Path, data_root: Path, *, own_loss: str | None = None) -> Path:
    """The tiny config; `own_loss` is the body of a loss term `loss_own` that sees `heatmaps`, `target`, `weight`."""
    config = write_config(folder, data_root)
    if own_loss is not None:
        body = "\n".join(f"        {line}" for line in own_loss.splitlines())
        (folder / "own.py").write_text(OWN_LOSS.format(body=body))
        text = config.read_text()
        text = text.replace("custom_hooks = [", "custom_imports = dict(imports=['own.py'])\ncustom_hooks = [")
        text = text.replace(
            "        loss_vis_token_dist",
            "        loss_own=dict(type='Own'),\n        loss_vis_token_dist",
        )
        config.write_text(text)
    return config


def train(config: Path, *options: str) -> int:
    """Train without the explanation at its end."""
    options = ("monitor.explain=False", *options)
    return main(["train", str(config), "--seed", str(SEED), "--cfg-options", *options])


def explained(run: Path, **about: Any) -> Explanation:
    """What `sdpose explain` finds out."""
    case = find_case(run, **about)
    machine = choose_machine(case.settings, World().device)
    return explain_case(case, machine, import_user_code(case.settings, lambda text: None), language="en")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Read a JSON file, change it in place, write it back."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def train_annotations(data_root: Path) -> Path:
    return data_root / "annotations" / "person_keypoints_train2017.json"


def spoil_one_person(data_root: Path, change: Callable[[dict[str, Any]], None]) -> tuple[int, int]:
    """Change the annotation of one person whom epoch 1 does not see and epoch 2 does; gives (image id, annotation id).

    The person is in the second batch of epoch 2: iteration 6.
    """
    table = load_coco(train_annotations(data_root), data_root / "train2017", COCO17)
    persons = table.ground_truth_persons()
    first, second = (
        epoch_order(len(persons), SEED, epoch, 0, 1, True)[: BATCH * BATCHES].tolist() for epoch in (0, 1)
    )
    row = next(row for row in second[BATCH : 2 * BATCH] if row not in first)
    image_id = int(table.image_ids[persons.image_index[row]])
    found = []

    def spoil(content: Any) -> None:
        for annotation in content["annotations"]:
            x, y = annotation["keypoints"][:2]
            near = abs(x - persons.joints[row, 0, 0]) + abs(y - persons.joints[row, 0, 1]) < 1e-2
            if annotation["image_id"] == image_id and near:
                change(annotation)
                found.append(annotation["id"])

    edit(train_annotations(data_root), spoil)
    (annotation_id,) = found
    return image_id, annotation_id
