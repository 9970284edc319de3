"""A folder in which the commands of a page can be typed as they are written, each in about a second.

It looks like a checkout: `configs/` holds files of the same names, which take everything from the real ones and make
network, images and training small; `tools/` and the shipped weights are the real ones. What a command names and nobody
has made yet (`photos/`, `persons.json`, `work_dirs/one/latest.pth`) is put there just before it runs: see `MAKERS`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from page_text import REPOSITORY, blocks

from sdpose.cli.main import main
from sdpose.data.synthetic import make_dataset

PUBLISHED = Path("configs/body/2d_kpt_sview_rgb_img/sdpose/coco")
S_V1 = PUBLISHED / "sdpose_s_v1_stemnet_coco_256x192.py"
DEMO = Path("configs/demo/sdpose_demo.py")
DEMO_WEIGHTS = Path("sdpose/weights/sdpose_demo.pth")

# Two epochs of two batches, evaluated and saved after each.
SHORT = """\
total_epochs = 2
runtime = dict(limit_train_batches=2)
evaluation = dict(interval=1)
checkpoint_config = dict(interval=1)
log_config = dict(interval=2)
lr_config = dict(warmup_iters=2)
data = dict(samples_per_gpu=4, workers_per_gpu=0)
"""
# One block of width 32 on crops of 48 x 64, in place of up to twelve of width 192 on 192 x 256.
SMALL = """\
model = dict(
    backbone=dict(planes=8, num_blocks=1),
    keypoint_head=dict(
        in_channels=32,
        tokenpose_cfg=dict(
            feature_size=[16, 12], dim=32, depth=1, heads=4, mlp_ratio=2, heatmap_size=[16, 12]),
    ),
    test_cfg=dict(modulate_kernel=3),
)
small = dict(data_cfg=dict(image_size=[48, 64], heatmap_size=[12, 16]))
data = dict(samples_per_gpu=4, workers_per_gpu=0, train=small, val=small, test=small)
"""
# The real file's name -> what makes it small. The others stay as they are.
SMALLER = {
    S_V1: SHORT + SMALL,
    PUBLISHED / "sdpose_t_coco_256x192.py": SHORT + SMALL,
    DEMO: SHORT,
}
NUM_TRAIN, NUM_VAL, SIZE = 12, 4, 128
# From the first step on far too fast: the loss is no number soon.
BREAKS = ["optimizer.lr=1e30", "lr_config.warmup=None", "monitor.explain=False"]


@dataclass(frozen=True)
class Prepared:
    """What all pages start from, made once: never changed, only copied."""

    folder: Path

    @property
    def people(self) -> Path:
        """A drawn data set in COCO's layout."""
        return self.folder / "people"

    @property
    def run(self) -> Path:
        """The work dir of a short training of the small S-V1 that went well."""
        return self.folder / "run"

    @property
    def broken(self) -> Path:
        """The same of one that ended with a NaN, and left an incident."""
        return self.folder / "broken"


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """Draw people and train twice."""
    prepared = Prepared(folder)
    make_dataset(
        prepared.people,
        num_train_images=NUM_TRAIN,
        num_val_images=NUM_VAL,
        image_size_wh=(SIZE, SIZE),
        seed=3,
        num_workers=0,
    )
    lay_out(folder, prepared)
    monkeypatch.chdir(folder)
    words = ["train", str(S_V1), "--seed", "1", "--work-dir"]
    assert main([*words, "run"]) == 0
    assert main([*words, "broken", "--cfg-options", *BREAKS]) == 1
    assert list(prepared.broken.glob("incidents/iter_*"))
    shutil.copy(prepared.run / "epoch_1.pth", prepared.broken)
    return prepared


def lay_out(folder: Path, prepared: Prepared) -> None:
    """What a checkout has, and the data at the places where the configs look for them."""
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    for path, lines in SMALLER.items():
        (folder / path).write_text(f"_base_ = [{str(REPOSITORY / path)!r}]\n{lines}", encoding="utf-8")
    for name in ("tools", "distilpose"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "sdpose").mkdir()
    (folder / "sdpose" / "weights").symlink_to(REPOSITORY / "sdpose" / "weights")
    (folder / "data").mkdir()
    for name in ("coco", "synthetic"):
        # A copy: what a page writes beside the images is no other page's.
        shutil.copytree(prepared.people, folder / "data" / name)


# --- What commands name ---------------------------------------------------------------------------------------------


def a_run(path: Path, prepared: Prepared) -> None:
    shutil.copytree(prepared.run, path, symlinks=True)


def a_broken_run(path: Path, prepared: Prepared) -> None:
    if not (path / "incidents").exists():
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(prepared.broken, path, symlinks=True)


def an_incident(path: Path, prepared: Prepared) -> None:
    a_broken_run(path.parent.parent, prepared)
    incidents = sorted(path.parent.iterdir())
    incidents[0].rename(path)


def a_config_of_a_run(path: Path, prepared: Prepared) -> None:
    if not path.parent.exists():
        a_run(path.parent, prepared)
    shutil.copy(prepared.run / S_V1.name, path)


def a_checkpoint(path: Path, prepared: Prepared) -> None:
    """After the first of two epochs, whatever number its name has."""
    if "work_dirs" in path.parts and not path.parent.exists():
        a_run(path.parent, prepared)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(prepared.run / "epoch_1.pth", path)


def trained_weights(path: Path, prepared: Prepared) -> None:
    """The demo's, which do find people: an export of weights that find nobody is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    shutil.copy(REPOSITORY / DEMO_WEIGHTS, path)


def photos(path: Path, prepared: Prepared) -> None:
    shutil.copytree(prepared.people / "val2017", path)


def boxes_of_photos(path: Path, prepared: Prepared) -> None:
    shutil.copy(prepared.people / "annotations" / "person_keypoints_val2017.json", path)


def a_film(path: Path, prepared: Prepared) -> None:
    frame = cv2.imread(str(min((prepared.people / "val2017").iterdir())))
    assert frame is not None
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (SIZE, SIZE))
    for step in range(4):
        writer.write(np.roll(frame, 2 * step, axis=1))
    writer.release()


def a_detector(path: Path, prepared: Prepared) -> None:
    """YOLOX by its shapes: it sees one person, in the middle of every image."""
    onnx = pytest.importorskip("onnx", reason="a detector file needs onnx")
    side, classes = 64, 80
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    rows = np.zeros((1, cells, 5 + classes), np.float32)
    rows[0, -1] = np.concatenate([[0.0, 0.0, 0.3, 0.6], [1.0], np.eye(classes)[0]])
    zeros = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "nothing")
    table = onnx.numpy_helper.from_array(rows, "rows")
    nodes = [
        onnx.helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        onnx.helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        onnx.helper.make_node("Add", ["rows", "none"], ["output"]),
    ]
    value = onnx.helper.make_tensor_value_info
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "yolox",
        [value("images", floats, [1, 3, side, side])],
        [value("output", floats, list(rows.shape))],
        [zeros, table],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)


def another_trainers_log(path: Path, prepared: Prepared) -> None:
    losses = [2.0 / (epoch + 1) for epoch in range(12)]
    if path.suffix == ".csv":
        rows = [f"{epoch},{loss:.5f},{0.6 - loss / 5:.4f}\n" for epoch, loss in enumerate(losses, start=1)]
        path.write_text("".join(["epoch,train/box_loss,metrics/mAP50-95(B)\n", *rows]), encoding="utf-8")
    else:
        history = [{"epoch": epoch, "step": 10 * epoch, "loss": loss} for epoch, loss in enumerate(losses)]
        path.write_text(json.dumps({"log_history": history}), encoding="utf-8")


def an_official_config(path: Path, prepared: Prepared) -> None:
    """The small S-V1 in one file without bases, with what the official files have and we do not need."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (prepared.run / S_V1.name).read_text(encoding="utf-8").splitlines()
    extra = ["dist_params = dict(backend='nccl')", "workflow = [('train', 1)]"]
    path.write_text("\n".join([*lines, *extra, ""]), encoding="utf-8")


def an_official_checkpoint(path: Path, prepared: Prepared) -> None:
    """In the format of mmcv 1.3.8: without our key, with a numpy number, and trained at another rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = torch.load(prepared.run / "epoch_1.pth", weights_only=True)
    del content["sdpose"]
    content["meta"]["hook_msgs"] = {"best_score": np.float64(0.0), "best_ckpt": str(path)}
    content["optimizer"]["param_groups"][0]["initial_lr"] = 2e-3
    torch.save(content, path)


def an_mmcv_log(path: Path, prepared: Prepared) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "tests/fixtures/parity/runner_sample/sample.log.json", path)


def the_set_of_the_page(path: Path, prepared: Prepared) -> None:
    path.write_text(blocks(REPOSITORY / "docs" / "sweeps.md", "python")[0], encoding="utf-8")


Maker = Callable[[Path, Prepared], None]
# Verb (or * for any) and pattern of the path -> what is put there. The first that fits is taken.
MAKERS: list[tuple[str, str, Maker]] = [
    ("explain", "work_dirs/*/incidents/iter_*", an_incident),
    ("train", "rates.py", the_set_of_the_page),
    ("*", "official/*.py", an_official_config),
    ("*", "official/*.pth", an_official_checkpoint),
    ("*", "*.log.json", an_mmcv_log),
    ("export", "*.pth", trained_weights),
    ("*", "*.pth", a_checkpoint),
    ("*", "work_dirs/*/*.py", a_config_of_a_run),
    ("explain", "work_dirs/*", a_broken_run),
    ("*", "work_dirs/*", a_run),
    ("predict", "yolox*.onnx", a_detector),
    ("predict", "*.mp4", a_film),
    ("predict", "*.json", boxes_of_photos),
    ("predict", "[a-z]*/", photos),
    ("predict", "[a-z]*", photos),
    ("*", "*.csv", another_trainers_log),
    ("*", "*.json", another_trainers_log),
]
# These look at what is there already, and may put something else in its place.
REPLACE = (a_broken_run, trained_weights)
# Options whose value the command itself makes.
MADE_BY_THE_COMMAND = {"--out", "--work-dir", "--picture"}


def provide(arguments: list[str], folder: Path, prepared: Prepared) -> None:
    """Put what the command names, and nobody has made yet, into the folder."""
    verb, *words = arguments
    if verb in ("watch", "runs") and not (folder / "work_dirs").exists():
        a_run(folder / "work_dirs" / "earlier", prepared)
    for before, word in zip([verb, *words], words, strict=False):
        if before in MADE_BY_THE_COMMAND:
            continue
        name = re.sub(r"/\*\.\w+$", "", word)  # 'shots/*.jpg' needs shots/
        if not looks_like_a_path(name):
            continue
        path = folder / name
        for wanted, pattern, maker in MAKERS:
            if wanted in ("*", verb) and fnmatch(name, pattern):
                if not path.exists() or maker in REPLACE:
                    maker(path, prepared)
                break


def looks_like_a_path(word: str) -> bool:
    """`photos`, `work_dirs/one`, `persons.json`, and no option or setting."""
    return bool(re.fullmatch(r"[A-Za-z][\w-]*([./][\w-]*)+|photos|shots", word))
