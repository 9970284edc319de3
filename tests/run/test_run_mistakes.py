"""What people get wrong, through the real command line: one line that names the cure, exit code 2, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny_runs import Ended, one_error, python, write_config

from sdpose.cli.main import main
from sdpose.training import disk_space
from sdpose.training.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Bench:
    """A folder with a config and its own copy of the annotations, which a test may spoil."""

    folder: Path
    config: Path
    data_root: Path

    @property
    def annotations(self) -> Path:
        return self.data_root / "annotations" / "person_keypoints_train2017.json"

    @property
    def detections(self) -> Path:
        return next((self.data_root / "person_detection_results").iterdir())


@pytest.fixture
def bench(tmp_path: Path, people: Path) -> Bench:
    data_root = tmp_path / "data"
    data_root.mkdir()
    for part in ("annotations", "person_detection_results"):
        shutil.copytree(people / part, data_root / part)
    for part in ("train2017", "val2017"):
        (data_root / part).symlink_to(people / part)
    return Bench(tmp_path, write_config(tmp_path, data_root), data_root)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    """Run `sdpose WORDS` in this process and give the one error line it ended with."""

    def run(*words: object) -> str:
        capsys.readouterr()
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return one_error(Ended(code, shown.out, shown.err))

    return run


def annotated(bench: Bench, **changes: object) -> None:
    content = json.loads(bench.annotations.read_text())
    bench.annotations.write_text(json.dumps({**content, **changes}))


CONFIG_MISTAKES = {
    "import": ("import os\n", ["tiny.py:", "import"]),
    "call": ("x = open('/etc/passwd').read()\n", ["tiny.py:", "open"]),
    "dunder": ("x = ().__class__\n", ["tiny.py:", "__class__"]),
    "unknown key": ("total_epoch = 3\n", ["total_epoch", "Did you mean 'total_epochs'?"]),
    "unknown nested key": ("optimizer = dict(type='Adam', lr=1e-3, weight_decays=0)\n", ["'weight_decay'"]),
    "syntax": ("model = dict(\n", ["tiny.py:", "never closed"]),
}


@pytest.mark.parametrize(("line", "named"), CONFIG_MISTAKES.values(), ids=CONFIG_MISTAKES)
@pytest.mark.parametrize("verb", ["train", "check", "config"])
def test_a_faulty_config_is_told_with_file_and_line(
    bench: Bench, say, verb: str, line: str, named: list[str]
) -> None:
    bench.config.write_text(bench.config.read_text() + line)
    error = say(verb, bench.config)
    for text in named:
        assert text in error
    assert not (bench.folder / "work").exists()


def test_the_scripts_tell_it_too(bench: Bench) -> None:
    ended = python("tools/train.py", bench.folder / "tiney.py")
    assert "tiney.py" in one_error(ended)
    assert "tiny.py" in one_error(ended)
    assert ended.out == ""


OPTION_MISTAKES = {
    "key": (["--cfg-options", "optimiser.lr=1"], ["Did you mean 'optimizer'?"]),
    "no value": (["--cfg-options", "total_epochs"], ["total_epochs", "="]),
    "not a number": (["--cfg-options", "total_epochs=many"], ["total_epochs", "many"]),
    "gpus": (["--gpus", "4"], ["bash tools/dist_train.sh", " 4"]),
    "gpu ids": (["--gpu-ids", "0", "1"], ["bash tools/dist_train.sh", " 2"]),
    "resume": (["--resume-from", "nowhere/epoch_1.pth"], ["nowhere/epoch_1.pth", "does not exist"]),
    "load": (["--load-from", "https://host/x.pth"], ["download the file first"]),
    "data root": (
        ["--data-root", "/nowhere/coco"],
        ["/nowhere/coco/annotations/person_keypoints_train2017.json"],
    ),
    "pretrained": (
        ["--cfg-options", "model.pretrained=hr.pth"],
        ["hr.pth does not exist", "model.pretrained=None"],
    ),
}


@pytest.mark.parametrize(("words", "named"), OPTION_MISTAKES.values(), ids=OPTION_MISTAKES)
def test_a_faulty_option_is_told(bench: Bench, say, words: list[str], named: list[str]) -> None:
    error = say("train", bench.config, *words)
    for text in named:
        assert text in error


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--launcher", "horovod"], "--launcher"),
        (["--device", "tpu"], "--device"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_argparse_tells_what_it_does_not_know(
    bench: Bench, words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", str(bench.config), *words])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err.splitlines()[-1]


ANNOTATION_MISTAKES = {
    "empty": ("", ["empty"]),
    "half": ('{"images": [', ["JSON"]),
    "list": ("[]", ["list"]),
    "nothing in it": ("{}", ["images"]),
    "boxes only": (
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}',
        ["keypoints"],
    ),
    "binary": ("\x00\x01\x02", ["person_keypoints_train2017.json"]),
}


@pytest.mark.parametrize(("content", "named"), ANNOTATION_MISTAKES.values(), ids=ANNOTATION_MISTAKES)
def test_a_faulty_annotation_file_is_told(bench: Bench, say, content: str, named: list[str]) -> None:
    bench.annotations.write_text(content)
    error = say("train", bench.config)
    assert str(bench.annotations) in error
    for text in named:
        assert text in error
    assert not list(bench.folder.glob("work/*"))


def test_no_person_to_learn_from_is_told(bench: Bench, say) -> None:
    annotated(bench, annotations=[])
    assert str(bench.annotations) in say("train", bench.config)


@pytest.mark.parametrize("content", ["", "[]", "{}", '[{"image_id": 1}]', "null"])
def test_faulty_detections_are_told_before_training(bench: Bench, say, content: str) -> None:
    bench.detections.write_text(content)
    error = say("train", bench.config)
    assert str(bench.detections) in error
    assert not list(bench.folder.glob("work/*.pth"))
    # Training without evaluation needs no detections.
    assert main(["train", str(bench.config), "--no-validate", "--cfg-options", "total_epochs=1"]) == 0


def test_missing_pictures_are_counted_before_training(bench: Bench, say, people: Path) -> None:
    pictures = bench.data_root / "train2017"
    pictures.unlink()
    pictures.mkdir()
    names = sorted(path.name for path in (people / "train2017").iterdir())
    for name in names[1:]:
        (pictures / name).symlink_to(people / "train2017" / name)
    error = say("train", bench.config)
    assert "1 of 24" in error
    assert str(pictures) in error


def test_too_many_broken_pictures_end_the_run_with_their_list(bench: Bench, say, people: Path) -> None:
    pictures = bench.data_root / "train2017"
    pictures.unlink()
    shutil.copytree(people / "train2017", pictures)
    for path in pictures.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    error = say("train", bench.config)
    assert "images cannot be used, more than 1 %" in error
    assert (bench.folder / "work" / "training_stats.txt").exists()
    assert not list((bench.folder / "work").glob("*.pth"))


@pytest.fixture
def checkpoint(bench: Bench, straight: Path) -> Path:
    return Path(shutil.copy(straight / "epoch_2.pth", bench.folder / "mine.pth"))


def spoil(kind: str, path: Path) -> list[str]:
    """Spoil a checkpoint and say what the error must name."""
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-2000])
        return ["mine.pth is damaged"]
    if kind == "changed":
        data = bytearray(path.read_bytes())
        values = load_checkpoint(path).state_dict["backbone.bn1.running_mean"].numpy().tobytes()
        assert data.count(values) == 1
        data[data.find(values)] ^= 1
        path.write_bytes(data)
        return ["mine.pth is damaged"]
    if kind == "text":
        path.write_text("no weights here\n" * 50)
        return ["is a text file, not a checkpoint"]
    if kind == "empty":
        path.write_bytes(b"")
        return ["it is empty"]
    if kind == "folder":
        path.unlink()
        path.mkdir()
        return ["is a folder"]
    content = torch.load(path, weights_only=True)
    torch.save(
        {"state_dict": {"backbone.conv1.weight": torch.zeros(64, 3, 3, 3)}, "meta": content["meta"]}, path
    )
    return ["mine.pth"]


@pytest.mark.parametrize("use", ["test", "load", "resume"])
@pytest.mark.parametrize("kind", ["truncated", "changed", "text", "empty", "folder", "other model"])
def test_a_faulty_checkpoint_is_told(bench: Bench, checkpoint: Path, say, kind: str, use: str) -> None:
    named = spoil(kind, checkpoint)
    words = {
        "test": ("test", bench.config, checkpoint),
        "load": ("train", bench.config, "--load-from", checkpoint),
        "resume": ("train", bench.config, "--resume-from", checkpoint),
    }[use]
    error = say(*words)
    for text in named:
        assert text in error
    assert not list(bench.folder.glob("work/*"))


def test_a_checkpoint_of_another_variant_is_named(
    bench: Bench, checkpoint: Path, say, repository: Path
) -> None:
    config = "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_t_coco_256x192.py"
    error = say("test", repository / config, checkpoint, "--data-root", bench.data_root)
    assert f"{checkpoint}: the weights look like an SDPose of its own kind" in error
    assert "use the config or model name that belongs to the file" in error


def test_an_unknown_metric_is_told(bench: Bench, checkpoint: Path, say) -> None:
    assert "--eval mAP" in say("test", bench.config, checkpoint, "--eval", "PCK")


@pytest.mark.parametrize("place", ["is a file", "below a file"])
def test_a_work_dir_that_cannot_be_is_told(bench: Bench, checkpoint: Path, say, place: str) -> None:
    note = bench.folder / "notes.txt"
    note.write_text("precious")
    work_dir = note if place == "is a file" else note / "work"
    for words in (["train", bench.config], ["test", bench.config, checkpoint]):
        error = say(*words, "--work-dir", work_dir)
        assert str(note) in error
        assert "--work-dir" in error
    assert note.read_text() == "precious"


@pytest.mark.parametrize(
    ("option", "name", "cure"),
    [
        ("--out", "notes.txt/raw.json", "give --out another place"),
        ("--picture", "notes.txt/picture.png", "give --picture another place"),
        ("--picture", "picture.txt", "choose a name that ends with .png or .jpg"),
        ("--picture", "picture", "choose a name that ends with .png or .jpg"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_the_evaluation(
    bench: Bench, checkpoint: Path, say, option: str, name: str, cure: str
) -> None:
    (bench.folder / "notes.txt").write_text("precious")
    error = say("test", bench.config, checkpoint, option, bench.folder / name)
    assert f"{bench.folder / name}" in error
    assert cure in error
    assert not list(bench.folder.glob("work/*.json"))
    assert (bench.folder / "notes.txt").read_text() == "precious"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_too_small_is_told_before_training(bench: Bench, say, small_disk: Path) -> None:
    error = say("train", bench.config, "--work-dir", small_disk / "work")
    assert "MB free, this run will write" in error
    assert "--work-dir" in error


def test_a_disk_mounted_read_only_is_told(bench: Bench, checkpoint: Path, say, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for words in (["train", bench.config], ["test", bench.config, checkpoint]):
        assert "--work-dir" in say(*words, "--work-dir", small_disk)


def test_a_disk_that_fills_up_loses_nothing(
    bench: Bench, say, monkeypatch: pytest.MonkeyPatch, straight: Path
) -> None:
    """Room for the run at its start, then for one checkpoint more, then none."""
    work_dir = bench.folder / "work"
    original = disk_space.free_bytes
    monkeypatch.setattr(
        disk_space, "free_bytes", lambda folder: 1000 if list(work_dir.glob("best*")) else original(folder)
    )
    error = say("train", bench.config, "--seed", 1)
    assert "no room for" in error
    assert "epoch_2.pth" in error
    assert "--resume-from auto" in error
    assert load_checkpoint(work_dir / "latest.pth").epoch == 1
    assert load_checkpoint(work_dir / "best_AP_epoch_1.pth").epoch == 1
    assert (work_dir / "training_stats.txt").exists()
    monkeypatch.undo()
    os.environ["LC_ALL"] = "C.UTF-8"
    assert main(["train", str(bench.config), "--resume-from", "auto"]) == 0
    ours, theirs = (load_checkpoint(folder / "latest.pth").state_dict for folder in (work_dir, straight))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_mistake_leaves_an_earlier_run_alone(bench: Bench, say) -> None:
    assert main(["train", str(bench.config), "--seed", "1", "--cfg-options", "total_epochs=1"]) == 0
    work_dir = bench.folder / "work"
    before = contents(work_dir)
    bench.annotations.write_text("")
    say("train", bench.config)
    say("train", bench.config, "--resume-from", "nowhere.pth")
    assert contents(work_dir) == before


def test_a_check_of_faulty_data_says_what_to_do_and_goes_on(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.annotations.unlink()
    assert main(["check", str(bench.config), "--iterations", "1"]) == 1
    shown = capsys.readouterr().out
    assert "❌ training data: " in shown
    assert "sdpose data synth" in shown
    assert "✅ forward pass" in shown
    assert shown.splitlines()[-1].startswith("VERDICT: NOT READY")


def test_a_check_can_be_read_by_a_program(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(bench.config), "--iterations", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == "pass"
    assert {"name", "status", "text", "cure"} <= shown["lines"][0].keys()
