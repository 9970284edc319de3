"""The guide's commands, typed as the guide has them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_runs import (
    REPOSITORY,
    Ended,
    differences,
    json_log,
    log_text,
    python,
    type_in,
)

from sdpose.cli.main import main
from sdpose.config.settings import load_settings

GUIDE_GREP = 'grep -i "nan\\|inf" {}/latest.log'
STATISTICS = r"""Training Statistics
={80}

Loss Statistics:
  - Mean: \d\.\d+
  - Std: \d\.\d+
  - Min: \d\.\d+
  - Max: \d\.\d+
  - Final: \d\.\d+

Best AP: \d\.\d{4}
"""


def test_quick_check_ends_with_a_verdict(config: Path) -> None:
    ended = python("tools/quick_check.py", config, "--iterations", "3")
    assert (ended.code, ended.err) == (0, ""), ended
    assert "forward pass" in ended.out
    for number in (1, 2, 3):
        assert re.search(
            rf"iteration {number}/3: heatmap_loss: .*vis_dist_loss: .*kpt_dist_loss: ", ended.out
        )
    assert ended.out.splitlines()[-1].startswith("VERDICT: READY")


def test_training_leaves_the_files_the_guide_names(straight: Path) -> None:
    names = {path.name for path in straight.iterdir()}
    stamps = {name.removesuffix(".log.json") for name in names if name.endswith(".log.json")}
    assert len(stamps) == 1
    stamp = stamps.pop()
    assert re.fullmatch(r"\d{8}_\d{6}", stamp)
    expected = {f"{stamp}.log", f"{stamp}.log.json", "latest.log", "training_stats.txt", "tiny.py"}
    expected |= {"epoch_1.pth", "epoch_2.pth", "latest.pth", "best_AP_epoch_1.pth"}
    assert names == expected | {"evaluations", "report.html"}
    assert (straight / "latest.pth").readlink() == Path("epoch_2.pth")
    assert re.fullmatch(STATISTICS, (straight / "training_stats.txt").read_text())


def test_the_log_shows_every_loss_as_the_guide_does(straight: Path, straight_ended: Ended) -> None:
    number = r"\d\.\d+(e-\d+)?"
    for text in (log_text(straight), straight_ended.out):
        for iteration in (2, 4, 6, 8):
            line = (
                rf"Iter \[{iteration}\] loss: {number}, heatmap_loss: {number}, vis_dist_loss: {number}, "
                rf"kpt_dist_loss: {number}"
            )
            assert re.search(line, text), line
    assert straight_ended.err == ""


def test_json_log_is_read_as_mmcv_tools_do(straight: Path) -> None:
    (path,) = straight.glob("*.log.json")
    first, *lines = path.read_text().splitlines()
    assert set(json.loads(first)) == {"env_info", "seed", "hook_msgs"}
    assert len(lines) == 10
    entries = json_log(straight)
    assert [(entry["mode"], entry["epoch"], entry["iter"]) for entry in entries] == [
        *(("train", 1, iteration) for iteration in (1, 2, 3, 4)),
        ("val", 1, 2),
        *(("train", 2, iteration) for iteration in (1, 2, 3, 4)),
        ("val", 2, 2),
    ]
    assert all(entry["loss"] > 0 and entry["lr"] > 0 for entry in entries if entry["mode"] == "train")
    assert all({"AP", "AP .5", "AR"} <= entry.keys() for entry in entries if entry["mode"] == "val")


def test_grep_is_silent_on_a_healthy_run(straight: Path) -> None:
    ended = type_in("bash", "-c", GUIDE_GREP.format(straight))
    assert (ended.code, ended.out) == (1, "")


def test_grep_speaks_on_a_run_that_exploded(config: Path, tmp_path: Path) -> None:
    options = ["optimizer.lr=1e30", "lr_config.warmup=None", "optimizer_config.grad_clip=None"]
    assert main(["train", str(config), "--seed", "1", "--cfg-options", *options]) == 1
    ended = type_in("bash", "-c", GUIDE_GREP.format(tmp_path / "*"))
    assert ended.code == 0
    assert "⚠️  WARNING: NaN or Inf detected!" in ended.out
    assert "heatmap_loss: NaN" in ended.out or "heatmap_loss: Inf" in ended.out
    assert (tmp_path / "work" / "training_stats.txt").exists()


def test_hook_lies_where_the_guide_looks() -> None:
    ended = type_in("ls", "distilpose/models/detectors/training_monitor_hook.py")
    assert ended.code == 0
    hooks = "from distilpose.models.detectors.training_monitor_hook import DetailedLossLogHook, TrainingMonitorHook"
    assert python("-c", hooks).code == 0


def test_resuming_an_epoch_gives_the_same_run(straight: Path, straight_config: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "resumed"
    ended = python(
        "tools/train.py", straight_config, "--work-dir", work_dir, "--resume-from", straight / "epoch_1.pth"
    )
    assert ended.code == 0, ended
    assert "resumed epoch 1, iter 4" in ended.out
    # The evaluation of epoch 1 came after epoch_1.pth: it is made again.
    assert [entry["epoch"] for entry in json_log(work_dir)] == [1, 2, 2, 2, 2, 2]
    assert differences(straight, work_dir, first_epoch_missing=("train",)) == []


def test_resuming_the_best_gives_the_same_run(straight: Path, straight_config: Path, tmp_path: Path) -> None:
    best, work_dir = straight / "best_AP_epoch_1.pth", tmp_path / "resumed"
    assert main(["train", str(straight_config), "--work-dir", str(work_dir), "--resume-from", str(best)]) == 0
    assert [entry["epoch"] for entry in json_log(work_dir)] == [2, 2, 2, 2, 2]
    assert differences(straight, work_dir, first_epoch_missing=("train", "val")) == []


def test_the_resolved_config_trains_again(straight: Path, tmp_path: Path) -> None:
    resolved = straight / "tiny.py"
    head, *lines = resolved.read_text().splitlines()
    assert load_settings(resolved).python_text().splitlines()[1:] == lines
    assert head.startswith("# The settings of ")
    arguments = ["--work-dir", str(tmp_path), "--seed", "1"]
    assert main(["train", str(straight / "tiny.py"), *arguments]) == 0
    assert differences(straight, tmp_path) == []


def test_evaluation_alone_gives_the_value_of_the_training(
    straight: Path, straight_config: Path, tmp_path: Path
) -> None:
    ended = python(
        "tools/test.py", straight_config, straight / "latest.pth", "--eval", "mAP", "--work-dir", tmp_path
    )
    assert ended.code == 0, ended
    shown = dict(re.findall(r"^(A[PR][^:]*): (\S+)$", ended.out, flags=re.MULTILINE))
    assert list(shown) == sorted(shown)
    logged = json_log(straight)[-1]
    assert {name: pytest.approx(float(value)) for name, value in shown.items()} == {
        name: value for name, value in logged.items() if name in shown
    }
    assert len(shown) == 10
    results = json.loads((tmp_path / "result_keypoints.json").read_text())
    assert {"category_id", "image_id", "keypoints", "score"} <= results[0].keys()


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
def test_launch_scripts_without_arguments_say_how_they_are_used(script: str) -> None:
    ended = type_in("bash", f"tools/{script}")
    assert ended.code == 2
    assert ended.err.startswith(f"usage: bash tools/{script} CONFIG")


def test_commands_work_from_anywhere(tmp_path: Path, config: Path) -> None:
    ended = type_in("python", REPOSITORY / "tools" / "train.py", "--help", cwd=tmp_path, cold=True)
    assert ended.code == 0, ended
    assert "--resume-from" in ended.out
