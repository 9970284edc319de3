"""`sdpose data synth` and `sdpose data pack` from their command line."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import warm_python

from sdpose.cli import data
from sdpose.cli.main import main
from sdpose.errors import SdposeError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    return parser.parse_args(["data", "synth", *words])


def test_it_draws_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    words = ("--out", str(out), "--train", "3", "--val", "2", "--size", "128x96", "--workers", "0")
    for ending in ("drawn in", "was already there"):
        args = parse(*words)
        assert args.run(args) == 0
        said = capsys.readouterr().out
        assert "3 training images" in said
        assert "2 validation images" in said
        assert ending in said
        assert str(out / "preview.jpg") in said
    assert (out / "preview.jpg").stat().st_size > 0


@pytest.mark.parametrize("text", ["", "320", "320x", "320*240", "-1x5", "3.5x2"])
def test_a_size_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SdposeError, match="for example 320x240"):
        data.parse_size(text)


def test_a_size_is_width_then_height() -> None:
    assert data.parse_size("640x480") == (640, 480)


def pack_words(repository: Path, folder: Path, out: Path, *more: str) -> list[str]:
    """`data pack` of the small set in `folder`."""
    config = repository / "configs/body/2d_kpt_sview_rgb_img/sdpose/coco/sdpose_s_v1_stemnet_coco_256x192.py"
    options = [
        f"data.{split}.{key}={value}"
        for split in ("train", "val", "test")
        for key, value in (("ann_file", folder / "a.json"), ("img_prefix", folder / "images"))
    ]
    options += [f"data.{split}.data_cfg.use_gt_bbox=True" for split in ("val", "test")]
    return ["data", "pack", str(config), "--out", str(out), *more, "--cfg-options", *options]


def many_images(folder: Path, num_images: int) -> None:
    """A set whose photographs are one and the same, large file."""
    size_wh = (1000, 750)
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8), size_wh)
    images = folder / "images"
    images.mkdir(parents=True)
    cv2.imwrite(str(images / "0.jpg"), picture)
    for number in range(1, num_images):
        (images / f"{number}.jpg").hardlink_to(images / "0.jpg")
    person = {
        "category_id": 1,
        "bbox": [700, 500, 60, 80],
        "keypoints": [720, 520, 2] * 17,
        "num_keypoints": 17,
    }
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.jpg", "width": size_wh[0], "height": size_wh[1]}
            for n in range(num_images)
        ],
        "annotations": [person | {"id": n, "image_id": n} for n in range(num_images)],
        "categories": [],
    }
    (folder / "a.json").write_text(json.dumps(content))


def test_pack_says_what_it_made_and_finds_it_again(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many_images(tmp_path, 3)
    (tmp_path / "images" / "2.jpg").unlink()
    for split in ("train", "val"):
        out = tmp_path / f"{split}.pack"
        for ending in ("made in", "was already there; checked in"):
            assert main(pack_words(repository, tmp_path, out, "--split", split, "--workers", "0")) == 0
            said = capsys.readouterr().out.splitlines()
            assert said[0].startswith(f"{tmp_path}/images: 3 images, 0.00 GB when decoded")
            assert f"{out}: 3 images, 0.00 GB, {ending}" in said[1]
            assert said[1].endswith(f"Use it: --cfg-options data.{split}.pack={out}")
            assert said[2] == f"cannot be used: {tmp_path}/images/2.jpg: the file is missing"


def test_pack_refuses_in_one_line(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many_images(tmp_path, 1)
    assert main(pack_words(repository, tmp_path, tmp_path / "pack", "--workers", "-2")) == 2
    assert capsys.readouterr().err == (
        "sdpose: error: the number of workers is -2; it must be 0 (no extra process) or greater\n"
    )
    assert main(pack_words(repository, tmp_path, tmp_path / "images", "--workers", "0")) == 2
    said = capsys.readouterr().err
    assert "images holds files that `sdpose data pack` did not write (0.jpg); nothing was touched" in said
    assert said.count("\n") == 1


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_pack_survives_being_interrupted_and_killed(repository: Path, tmp_path: Path) -> None:
    many_images(tmp_path, 64)
    out = tmp_path / "pack"
    parts = tmp_path / ".pack.partial" / "parts"
    words = [
        sys.executable,
        "-m",
        "sdpose.cli.main",
        *pack_words(repository, tmp_path, out, "--workers", "2"),
    ]

    def start(num_parts: int) -> warm_python.Process:
        """The command, at work and so many parts further."""
        wanted = num_parts + len(list(parts.glob("*.json")))
        with (tmp_path / "said").open("w") as said, (tmp_path / "errors").open("w") as errors:
            process = warm_python.begin(words, cwd=tmp_path, env=os.environ, stdout=said, stderr=errors)
        while len(list(parts.glob("*.json"))) < wanted:
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.005)
        return process

    with start(1) as interrupted:
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.wait(timeout=60) == 130
    assert "of 64 images; the same command goes on from there" in (tmp_path / "said").read_text()
    assert (tmp_path / "errors").read_text() == "sdpose: interrupted\n"

    with start(1) as killed:
        workers = children_of(killed.pid)
        killed.kill()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "the workers of a killed command live on"
        time.sleep(0.02)
    assert not out.exists()
    assert len(list(parts.glob("*.json"))) >= 2

    # A part is there when its record is, which is written after its pixels: a kill between them costs the part.
    kept = {
        path.name: path.stat().st_mtime_ns
        for path in (record.with_suffix(".bin") for record in parts.glob("*.json"))
    }
    done = warm_python.run(words, cwd=tmp_path, env=os.environ, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    now = {path.name: path.stat().st_mtime_ns for path in (out / "parts").glob("*.bin")}
    assert len(now) == 8 and kept.items() <= now.items()
