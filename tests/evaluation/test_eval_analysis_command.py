"""`sdpose test --analyse` on people that the demo's weights know: what it prints and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sdpose.cli.main import main
from sdpose.data.synthetic import make_dataset
from sdpose.evaluation.pose_errors import ERROR_KINDS
from sdpose.skeleton import COCO17


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    make_dataset(folder, num_train_images=1, num_val_images=24, seed=5, num_workers=0)
    return folder


def run_test(repository: Path, people: Path, work_dir: Path, *more: str) -> int:
    config, weights = "configs/demo/sdpose_demo.py", "sdpose/weights/sdpose_demo.pth"
    words = ["test", str(repository / config), str(repository / weights), "--data-root", str(people)]
    return main([*words, "--work-dir", str(work_dir), *more])


def test_the_interval_stands_beside_ap_and_the_old_lines_stay(
    repository: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_test(repository, people, tmp_path) == 0
    shown = capsys.readouterr().out
    found = re.search(r"^95 % interval over 24 images: AP (\S+) \[(\S+), (\S+)\]$", shown, re.MULTILINE)
    assert found, shown
    ap, low, high = map(float, found.groups())
    assert 0.3 < low < ap < high < 1
    names = [line.rpartition(": ")[0] for line in shown.splitlines()[-10:]]
    assert names == sorted(
        ["AP", "AP .5", "AP .75", "AP (M)", "AP (L)", "AR", "AR .5", "AR .75", "AR (M)", "AR (L)"]
    )
    assert float(shown.split("\nAP: ")[1].split()[0]) == pytest.approx(ap, abs=5e-4)
    assert not (tmp_path / "analysis.json").exists()


def test_the_analysis_is_shown_and_written(
    repository: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_test(repository, people, tmp_path, "--analyse") == 0
    shown = capsys.readouterr().out
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    assert f"the tables as JSON: {tmp_path / 'analysis.json'}" in shown
    assert tuple(analysis["joints"]) == COCO17.keypoints
    assert tuple(analysis["errors"]) == ERROR_KINDS
    assert analysis["AP"]["value"] == pytest.approx(float(shown.split("\nAP: ")[1].split()[0]), abs=1e-9)
    shoulder, wrist = (analysis["joints"][name] for name in ("left_shoulder", "left_wrist"))
    (line,) = [line for line in shown.splitlines() if line.startswith("left_shoulder")]
    assert line.split()[1:4] == [
        f"{shoulder['AP']:.3f}",
        f"[{shoulder['AP_low']:.3f},",
        f"{shoulder['AP_high']:.3f}]",
    ]
    assert shoulder["good"] > wrist["good"]
    # Mending what is most frequent gains most.
    gain = {
        kind: row.get("AP_if_mended", 0) - analysis["AP"]["value"] for kind, row in analysis["errors"].items()
    }
    assert gain["jitter"] > gain["swap"] >= 0
