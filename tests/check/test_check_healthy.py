"""Healthy data passes every question, in the guide's words and as JSON."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import cv2
import pytest
import warm_python
from checked import REPOSITORY, check, write_config

from sdpose.check import QUESTIONS
from sdpose.cli import check as verb
from sdpose.cli.main import main


def test_the_guides_command_says_what_the_guide_wants_to_see(config: Path) -> None:
    command = ["tools/quick_check.py", config, "--iterations", "3", "--device", "cpu", "--time-box", "2"]
    done = warm_python.run([sys.executable, *command], cwd=REPOSITORY, env=os.environ, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    said = done.stdout.splitlines()
    names = [line.split(":")[0] for line in said]
    forward, iteration = names.index("✅ forward pass"), names.index("✅ iteration 3/3")
    assert forward < iteration < names.index("✅ loss terms")
    # The checklist of the guide comes before anything that takes long.
    assert names.index("✅ gradients") < names.index("✅ annotations (train)")
    assert "heatmap_loss, vis_dist_loss, kpt_dist_loss, loss computed and finite" in done.stdout
    assert re.fullmatch(r"VERDICT: READY, .* checks passed.*\. Next: sdpose train \S+ \(\d+ s\)", said[-1])
    assert not [line for line in said if line.startswith("❌")]


def test_every_question_is_answered_and_none_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = check(capsys, config, "--iterations", 3, "--time-box", 30)
    assert (answers.code, answers.content["verdict"]) == (0, "pass")
    assert list(answers.content["seconds"]) == list(QUESTIONS)
    assert {line["question"] for line in answers.content["lines"]} == set(QUESTIONS)
    assert answers.named("fail") == set()
    # Drawing and learning on a busy machine may be too slow to be sure; nothing else is in doubt.
    assert answers.named("warn") <= {"overfit", "data loader"}
    assert answers.lines["round trip"]["measured"]["AP"] > 0.95
    assert answers.lines["round trip, detected"]["measured"]["AP"] > 0.95
    assert answers.lines["boxes find people"]["measured"]["recall"] > 0.9
    assert answers.lines["data loader"]["measured"]["best_workers"] >= 1
    assert answers.lines["memory"]["measured"]["largest_batch"] > 32
    assert answers.lines["time"]["measured"]["training_s"] > 0
    assert answers.lines["disk"]["measured"]["checkpoints"] == 2 + 3
    assert "the same to the last bit" in answers.lines["resume"]["text"]


def test_the_picture_shows_twelve_samples(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = check(capsys, config, "--only", "picture")
    assert answers.lines["picture"]["measured"]["path"] == str(tmp_path / "work" / "training_samples.jpg")
    answers = check(capsys, config, "--only", "picture", "--out", tmp_path / "elsewhere")
    picture = cv2.imread(str(tmp_path / "elsewhere" / "training_samples.jpg"))
    assert picture is not None
    # Four pairs of 192 x 256 in a row, three rows, with room for text.
    assert picture.shape[1] == 12 + 4 * (2 * 192 + 4 + 12)
    assert picture.shape[0] == 12 + 2 * 22 + 3 * (22 + 256 + 12)


def test_learning_eight_samples_by_heart(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = check(capsys, config, "--only", "overfit", "--time-box", 60)
    line = answers.lines["overfit"]
    assert line["status"] == "pass", line
    measured = line["measured"]
    assert measured["last_loss"] <= 0.5 * measured["loss_of_empty_maps"] < measured["first_loss"]


def test_a_time_box_that_cuts_something_short_is_said(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = check(capsys, config, "--only", "overfit", "images", "loader", "--time-box", 1e-6)
    assert answers.status("overfit") == "warn"
    assert "is too short to reach" in answers.lines["overfit"]["text"]
    assert answers.lines["overfit"]["measured"]["steps"] == 1
    assert "1 of 60 decoded" in answers.lines["images open (train)"]["text"]
    assert "allowed no more" in answers.lines["images open (train)"]["text"]


def test_weights_to_start_from_are_looked_at(
    tmp_path: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = REPOSITORY / "sdpose" / "weights"
    shipped = next(path for path in weights.iterdir() if path.suffix == ".pth")
    demo = REPOSITORY / "configs" / "demo" / "sdpose_demo.py"
    options = ["--cfg-options", f"load_from={shipped}", f"work_dir={tmp_path}", "lr_config.warmup_iters=2"]
    answers = check(capsys, demo, "--data-root", people, "--only", "config", "flip", *options)
    assert answers.named("fail") == set()
    measured = answers.lines["flip symmetry"]["measured"]
    assert measured["with_pairs"] > 0.7
    assert measured["with_pairs"] > measured["without_pairs"] + 0.1


def test_only_and_skip_choose_questions(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(check(capsys, config, "--only", "boxes", "config").content["seconds"]) == ["config", "boxes"]
    kept = [name for name in QUESTIONS if name in ("config", "data")]
    skipped = [name for name in QUESTIONS if name not in kept]
    assert list(check(capsys, config, "--skip", *skipped).content["seconds"]) == kept


def test_the_verb_names_the_questions_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(verb.QUESTIONS) == list(QUESTIONS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "boxs"], "there is no question 'boxs'"),
        (["--only", "boxs"], "Did you mean 'boxes'?"),
        (["--only", "boxes", "--skip", "boxes"], "leave no question"),
        (["--iterations", "0"], "--iterations"),
        (["--time-box", "0"], "--time-box"),
    ],
)
def test_a_mistyped_command_is_a_users_mistake(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["check", str(config), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_check_leaves_nothing_but_the_picture(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path for path in tmp_path.rglob("*") if "work" not in path.parts}
    check(capsys, config, "--only", "config", "data", "cost", "resume")
    assert {path for path in tmp_path.rglob("*") if "work" not in path.parts} == before
    assert not (tmp_path / "work").exists()


def test_photographs_pass(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = shared / "data" / "coco_tiny"
    published = (
        REPOSITORY / "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_s_v1_stemnet_coco_256x192.py"
    )
    options = [f"work_dir={tmp_path}"]
    for split, part in (("train", "train"), ("val", "val"), ("test", "val")):
        options += [f"data.{split}.ann_file={tiny}/person_keypoints_{part}.json"]
        options += [f"data.{split}.img_prefix={tiny}/images", f"data.{split}.data_cfg.use_gt_bbox=True"]
    named = ["config", "data", "annotations", "boxes", "images", "picture", "flip", "round-trip"]
    answers = check(capsys, published, "--only", *named, "--cfg-options", *options)
    assert answers.named("fail") | answers.named("warn") == set(), answers.content
    assert answers.lines["round trip"]["measured"]["AP"] == pytest.approx(0.973, abs=0.002)


def test_without_data_the_model_is_tried_on_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    answers = check(capsys, config, "--iterations", 2, "--skip", "loader", "cost")
    assert answers.code == 1
    assert answers.status("forward pass") == answers.status("iteration 2/2") == "pass"
    assert {"training data", "validation data"} <= answers.named("fail")
    assert any("tried on random crops" in line["text"] for line in answers.content["lines"])
    # One missing folder is reported once, not by every question that needs it.
    told = [line for line in answers.content["lines"] if line["text"].startswith("not asked")]
    assert {line["question"] for line in told} >= {"boxes", "images", "picture", "flip", "overfit", "resume"}
    assert all(line["status"] == "warn" for line in told)
