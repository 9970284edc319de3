"""The monitor is light to import, and stands where the guide looks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sdpose.monitor as monitor_package


def test_importing_the_monitor_needs_neither_torch_nor_any_other_heavy_package() -> None:
    code = (
        "import sys, sdpose.monitor\n"
        "heavy = ['torch', 'torchvision', 'cv2', 'pydantic', 'rich', 'faster_coco_eval', 'pycocotools']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    root = Path(monitor_package.__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


def test_the_guides_path_to_the_hooks_works(repository: Path) -> None:
    path = repository / "distilpose/models/detectors/training_monitor_hook.py"
    assert path.is_file()
    code = (
        "import distilpose.models.detectors.training_monitor_hook as door, sdpose.monitor as home\n"
        "print([getattr(door, name) is getattr(home, name) for name in door.__all__])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[True, True]\n"
