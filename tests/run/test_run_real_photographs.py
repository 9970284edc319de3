"""The published SDPose-T with its published config, on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY, differences, json_log, log_text

from sdpose.cli.main import main

CONFIG = REPOSITORY / "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_t_coco_256x192.py"
VAL_IMAGES = slice(1, 3)  # one person each


@pytest.fixture
def options(shared: Path, tmp_path: Path) -> list[str]:
    """`coco_tiny`, of which only a few validation images, and epochs of two batches."""
    folder = shared / "data" / "coco_tiny"
    content = json.loads((folder / "person_keypoints_val.json").read_text())
    images = content["images"][VAL_IMAGES]
    kept = {image["id"] for image in images}
    people = [entry for entry in content["annotations"] if entry["image_id"] in kept]
    few = tmp_path / "person_keypoints_few.json"
    few.write_text(json.dumps({**content, "images": images, "annotations": people}))
    files = {"train": folder / "person_keypoints_train.json", "val": few, "test": few}
    chosen = [f"data.{split}.ann_file={path}" for split, path in files.items()]
    chosen += [f"data.{split}.img_prefix={folder / 'images'}" for split in files]
    chosen += [f"data.{split}.data_cfg.use_gt_bbox=True" for split in ("val", "test")]
    return [
        *chosen,
        "total_epochs=2",
        "data.samples_per_gpu=2",
        "data.workers_per_gpu=1",
        "runtime.limit_train_batches=2",
        "log_config.interval=1",
        "evaluation.interval=2",
        "checkpoint_config.interval=1",
    ]


def test_sdpose_t_trains_evaluates_and_resumes(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    words = ["--cfg-options", *options]
    assert main(["train", str(CONFIG), "--seed", "0", "--work-dir", str(straight), *words]) == 0
    assert "WARNING" not in log_text(straight)
    train, val = ([e for e in json_log(straight) if e["mode"] == mode] for mode in ("train", "val"))
    assert [(entry["epoch"], entry["iter"]) for entry in train] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert all(0 < entry["loss"] < 1 for entry in train)
    assert all(0 <= val[0][name] <= 1 for name in ("AP", "AP .5", "AR"))

    again = ["--work-dir", str(resumed), "--resume-from", str(straight / "epoch_1.pth")]
    assert main(["train", str(CONFIG), *again, *words]) == 0
    assert differences(straight, resumed, first_epoch_missing=("train",)) == []

    capsys.readouterr()
    best, work_dir = straight / "best_AP_epoch_2.pth", tmp_path / "test"
    assert main(["test", str(CONFIG), str(best), "--work-dir", str(work_dir), *words]) == 0
    shown = capsys.readouterr().out
    assert float(shown.split("\nAP: ")[1].split()[0]) == pytest.approx(val[0]["AP"])
