"""Two processes do what one does with the batch doubled, and score every person once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny_runs import differences, free_port, json_log, largest_difference, two_processes, type_in, weights_of

from sdpose.cli.main import main

# Batch statistics differ between halves and the whole, so batch norm stays as it is; plain SGD, because Adam makes
# a whole step out of a gradient that is nothing but rounding.
ALIKE = [
    "model.backbone.norm_eval=True",
    "optimizer.type=SGD",
    "optimizer.lr=0.05",
    "optimizer.momentum=0.9",
    "data.workers_per_gpu=0",
]


@pytest.fixture(scope="module")
def work_dirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `one` and `two` once they are trained."""
    return tmp_path_factory.mktemp("processes")


def test_two_processes_equal_one_with_the_doubled_batch(config: Path, work_dirs: Path) -> None:
    one, two = work_dirs / "one", work_dirs / "two"
    words = ["--seed", "5", "--work-dir"]
    doubled = ["--cfg-options", *ALIKE, "data.samples_per_gpu=8"]
    assert main(["train", str(config), *words, str(one), *doubled]) == 0
    halves = ["--cfg-options", *ALIKE, "data.samples_per_gpu=4"]
    ended = two_processes("dist_train.sh", config, 2, *words, two, *halves, folder=work_dirs, cold=True)
    assert ended.code == 0, ended
    assert "2 processes" in ended.out
    assert "Traceback" not in ended.err, ended
    assert largest_difference(one / "epoch_2.pth", two / "epoch_2.pth") < 1e-6
    assert not weights_of(one / "epoch_2.pth")["backbone.bn1.running_mean"].any(), "norm_eval is obeyed"
    ours, theirs = json_log(one), json_log(two)
    assert [(line["mode"], line["epoch"], line["iter"]) for line in theirs if line["mode"] == "train"] == [
        (line["mode"], line["epoch"], line["iter"]) for line in ours if line["mode"] == "train"
    ]
    for line, other in zip(ours, theirs, strict=True):
        for name in {"loss", "heatmap_loss", "grad_norm", "lr", "AP", "AR"} & line.keys():
            assert line[name] == pytest.approx(other[name], rel=1e-3), (name, line, other)
    assert len(list(two.glob("*.log.json"))) == 1, "only the main process writes"


def test_two_processes_evaluate_everyone_once(config: Path, work_dirs: Path, tmp_path: Path) -> None:
    checkpoint = work_dirs / "one" / "epoch_2.pth"
    results = {}
    for name, words in {
        "one": ["test", config, checkpoint],
        "two": ["dist_test.sh", config, checkpoint, 2],
    }.items():
        more = ["--eval", "mAP", "--work-dir", tmp_path / name, "--out", tmp_path / name / "raw.json"]
        more += ["--cfg-options", "model.backbone.norm_eval=True"]
        if name == "one":
            assert main([*map(str, words), *map(str, more)]) == 0
        else:
            ended = two_processes(*words, *more, folder=tmp_path)
            assert ended.code == 0, ended
            assert ended.out.count("AP: ") == 1
        results[name] = json.loads((tmp_path / name / "result_keypoints.json").read_text())
        results[name + " raw"] = json.loads((tmp_path / name / "raw.json").read_text())
    raw = results["two raw"]
    assert sorted(raw["bbox_ids"]) == list(range(24))
    assert raw["bbox_ids"] == results["one raw"]["bbox_ids"]
    assert raw["image_ids"] == results["one raw"]["image_ids"]
    assert len(results["one"]) == len(results["two"]) > 0
    for ours, theirs in zip(results["one"], results["two"], strict=True):
        assert ours["image_id"] == theirs["image_id"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
        assert ours["keypoints"] == pytest.approx(theirs["keypoints"], abs=1e-2)


def test_two_processes_resume_to_the_same_bits(config: Path, work_dirs: Path, tmp_path: Path) -> None:
    two = work_dirs / "two"
    words = ["--work-dir", tmp_path / "resumed", "--resume-from", two / "epoch_1.pth"]
    halves = ["--cfg-options", *ALIKE, "data.samples_per_gpu=4"]
    ended = two_processes("dist_train.sh", config, 2, *words, *halves, folder=tmp_path)
    assert ended.code == 0, ended
    assert differences(two, tmp_path / "resumed", first_epoch_missing=("train",)) == []


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ([], ["--seed", "1087365040"]),
        (["--seed", "3"], ["--seed", "3"]),
        (["--seed=3"], ["--seed=3"]),
        (["--resume-from", "auto"], ["--resume-from", "auto"]),
        (["--work-dir", "a b"], ["--seed", "1087365040", "--work-dir", "a b"]),
    ],
)
def test_the_launch_script_gives_the_originals_seed_unless_there_is_one(
    tmp_path: Path, words: list[str], passed: list[str]
) -> None:
    printing = tmp_path / "python"
    printing.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    printing.chmod(0o755)
    ended = type_in("bash", "tools/dist_train.sh", "c.py", 4, *words, PYTHON=str(printing))
    shown = ended.out.splitlines()
    assert "--nproc-per-node=4" in shown
    assert shown[-len(passed) - 3 :] == ["c.py", "--launcher", "pytorch", *passed]


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("print('sdpose: error: yours', file=sys.stderr); sys.exit(2)", 2, "sdpose: error: yours\n"),
        (
            "os.kill(os.getpid(), 9)",
            137,
            "sdpose: error: process 1 was killed by SIGKILL; most often the machine had no memory left. Go on with "
            "--resume-from auto\n",
        ),
    ],
    ids=["a mistake", "killed"],
)
def test_the_launcher_ends_with_the_code_of_the_process_that_failed_and_its_words_alone(
    tmp_path: Path, ending: str, code: int, said: str
) -> None:
    script = tmp_path / "one.py"
    script.write_text(
        f"import os, sys, time\nif os.environ['RANK'] == '1':\n    {ending}\nelse:\n    time.sleep(60)\n"
    )
    words = ["--nnodes=1", f"--master-port={free_port()}", "--nproc-per-node=2", script]
    ended = type_in(sys.executable, "tools/launch.py", *words)
    assert (ended.code, ended.err) == (code, said), ended
