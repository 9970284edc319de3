"""A small config over drawn people, and the check of it as a person types it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sdpose.cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
# A third of the demo's width and one block of its four: a step of eight samples takes a hundredth of a second.
CONFIG = """\
_base_ = ['demo.py']
work_dir = {work_dir!r}
total_epochs = 20
lr_config = dict(warmup_iters=10)
model = dict(
    backbone=dict(planes=8, num_blocks=1),
    keypoint_head=dict(in_channels=32, tokenpose_cfg=dict(dim=32, depth=1, heads=4, mlp_ratio=2)),
)
"""


@dataclass(frozen=True)
class Answers:
    """What `sdpose check --json` said."""

    code: int
    content: dict[str, Any]

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        """The last line of each name."""
        return {line["name"]: line for line in self.content["lines"]}

    def status(self, name: str) -> str:
        assert name in self.lines, f"no line {name!r}, only {list(self.lines)}"
        return str(self.lines[name]["status"])

    def named(self, status: str) -> set[str]:
        """Names of all lines of a status."""
        return {line["name"] for line in self.content["lines"] if line["status"] == status}


def write_config(folder: Path, data_root: Path, extra: str = "") -> Path:
    """The small config, and the demo's beside it, over another folder; `extra` lines come last."""
    configs = REPOSITORY / "configs"
    demo = (configs / "demo" / "sdpose_demo.py").read_text(encoding="utf-8")
    demo = demo.replace("'../_base_", f"'{configs / '_base_'}").replace(
        "'data/synthetic'", repr(str(data_root))
    )
    (folder / "demo.py").write_text(demo, encoding="utf-8")
    path = folder / "small.py"
    path.write_text(CONFIG.format(work_dir=str(folder / "work")) + extra, encoding="utf-8")
    return path


def check(capsys: pytest.CaptureFixture[str], config: Path, *words: object) -> Answers:
    """`sdpose check CONFIG WORDS --json`."""
    capsys.readouterr()
    code = main(["check", str(config), "--json", "--device", "cpu", *map(str, words)])
    said = capsys.readouterr()
    assert said.err == ""
    return Answers(code, json.loads(said.out))


def annotation_path(data_root: Path, split: str) -> Path:
    return data_root / "annotations" / f"person_keypoints_{split}2017.json"


def box_path(data_root: Path) -> Path:
    return data_root / "person_detection_results" / "COCO_val2017_detections_AP_H_56_person.json"


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Replace what a file holds by what `change` makes of it; a change in place may give None."""
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")


def copy_of(data_root: Path, folder: Path) -> Path:
    """The data set again, to be broken."""
    target = folder / "broken"
    shutil.copytree(data_root, target)
    return target
