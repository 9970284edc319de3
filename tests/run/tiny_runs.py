"""A training so small that an epoch takes a second, and the doors through which people start one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import warm_python

from sdpose.data.synthetic import make_dataset
from sdpose.training.checkpoint import load_checkpoint
from sdpose.verify import NOT_COMPARED, checkpoint_differences, log_differences

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 100.0

# 24 images, some 50 people: 4 to 6 batches of 12 an epoch; one warm-up, so that the rate differs every iteration.
CONFIG = """\
_base_ = [{base!r}]
data_root = {data_root!r}
work_dir = {work_dir!r}
total_epochs = 2
optimizer = dict(type='Adam', lr=1e-3)
optimizer_config = dict(grad_clip=dict(max_norm=1.0, norm_type=2))
lr_config = dict(policy='step', step=[200], warmup='linear', warmup_iters=20, warmup_ratio=0.01)
evaluation = dict(interval=1, metric='mAP', save_best='AP')
checkpoint_config = dict(interval=1, max_keep_ckpts=-1, save_last=True)
log_config = dict(interval=1, hooks=[dict(type='TextLoggerHook')])
custom_hooks = [
    dict(type='TrainingMonitorHook', check_interval=1, loss_spike_threshold=2.0, performance_drop_threshold=0.05),
    dict(type='DetailedLossLogHook', log_interval=2),
]
runtime = dict(limit_train_batches=4)
model = dict(
    type='TopDown',
    backbone=dict(type='StemNet', planes=8, num_blocks=1),
    keypoint_head=dict(
        type='SDPoseHead',
        in_channels=32,
        num_joints=17,
        loss_keypoint=dict(type='JointsMSELoss', use_target_weight=True),
        loss_vis_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        loss_kpt_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        tokenpose_cfg=dict(
            feature_size=[16, 12], patch_size=[4, 3], dim=32, depth=1, heads=4, mlp_ratio=2,
            heatmap_size=[16, 12], pos_embedding_type='sine-full', apply_init=True, cycle_num=2,
        ),
    ),
    test_cfg=dict(flip_test=True, post_process='unbiased', shift_heatmap=True, modulate_kernel=3),
)
data_cfg = dict(
    image_size=[48, 64], heatmap_size=[12, 16], num_joints=17, use_gt_bbox=False,
    bbox_file=f'{{data_root}}/person_detection_results/COCO_val2017_detections_AP_H_56_person.json',
    det_bbox_thr=0.0, oks_thr=0.9, vis_thr=0.2, soft_nms=False,
)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
]
crop = [
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]
train_pipeline = load + [
    dict(type='TopDownRandomShiftBboxCenter', shift_factor=0.16, prob=0.3),
    dict(type='TopDownRandomFlip', flip_prob=0.5),
    dict(type='TopDownHalfBodyTransform', num_joints_half_body=8, prob_half_body=0.3),
    dict(type='TopDownGetRandomScaleRotation', rot_factor=45, scale_factor=0.35),
] + crop + [dict(type='TopDownGenerateTarget', sigma=1, unbiased_encoding=True)]
val_pipeline = load + crop
train = dict(
    type='TopDownCocoDataset',
    ann_file=f'{{data_root}}/annotations/person_keypoints_train2017.json',
    img_prefix=f'{{data_root}}/train2017',
    data_cfg=data_cfg, pipeline=train_pipeline, dataset_info={{{{_base_.dataset_info}}}},
)
val = dict(
    type='TopDownCocoDataset',
    ann_file=f'{{data_root}}/annotations/person_keypoints_val2017.json',
    img_prefix=f'{{data_root}}/val2017',
    data_cfg=data_cfg, pipeline=val_pipeline, dataset_info={{{{_base_.dataset_info}}}},
)
data = dict(
    samples_per_gpu=8, workers_per_gpu=0,
    val_dataloader=dict(samples_per_gpu=16), test_dataloader=dict(samples_per_gpu=16),
    train=train, val=val, test=val,
)
"""


def write_config(folder: Path, data_root: Path, *, name: str = "tiny.py", extra: str = "") -> Path:
    """A config file of a tiny SDPose over the drawn people; `extra` lines come last."""
    path = folder / name
    base = str(REPOSITORY / "configs" / "_base_" / "datasets" / "coco.py")
    text = CONFIG.format(base=base, data_root=str(data_root), work_dir=str(folder / "work"))
    path.write_text(text + extra, encoding="utf-8")
    return path


def draw_people(folder: Path) -> None:
    """24 training and 8 validation pictures with 55 and 24 people."""
    make_dataset(
        folder, num_train_images=24, num_val_images=8, image_size_wh=(128, 128), seed=3, num_workers=0
    )


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def environment(**changes: str) -> dict[str, str]:
    """English, one thread a process, and the Python of this test first on the path."""
    bin_folder = str(Path(sys.executable).parent)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1", **changes}


def type_in(*words: object, cwd: Path = REPOSITORY, cold: bool = False, **variables: str) -> Ended:
    """A command as a person types it, to its end; `sdpose` and scripts of `python` start warm unless told otherwise."""
    env = environment(**variables)
    done = warm_python.run(words, cwd=cwd, env=env, timeout=PATIENCE_S, cold=cold)
    return Ended(done.returncode, done.stdout, done.stderr)


def python(*words: object, cold: bool = False, **variables: str) -> Ended:
    """`python WORDS`, in the repository."""
    return type_in(sys.executable, *words, cold=cold, **variables)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def two_processes(script: str, *words: object, folder: Path, cold: bool = False, **variables: str) -> Ended:
    """`bash tools/SCRIPT WORDS`, where torchrun and what it starts are cold or warm; `folder` is for this."""
    variables["PORT"] = free_port()
    if not cold:
        door = str(warm_python.write_door(folder))
        # The second is torchrun's name for the Python of its processes.
        variables |= {"PYTHON": door, "PYTHON_EXEC": door}
    return type_in("bash", f"tools/{script}", *words, **variables)


def train_until(
    config: Path,
    work_dir: Path,
    *words: object,
    iteration: int,
    number: signal.Signals,
    cold: bool = False,
) -> Ended:
    """`tools/train.py`, sent a signal as soon as its log shows `iteration` (of the whole run).

    The signal goes to the process alone for a wish to stop and to its whole session for SIGKILL, workers included.
    """
    command = [sys.executable, "tools/train.py", config, "--work-dir", work_dir, *words]
    deadline = time.monotonic() + PATIENCE_S
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with warm_python.begin(
            command,
            cold=cold,
            cwd=REPOSITORY,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        ) as process:
            try:
                while process.poll() is None and last_iteration(work_dir) < iteration:
                    assert time.monotonic() < deadline, f"iteration {iteration} was never logged"
                    time.sleep(0.002)
                if number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                elif process.poll() is None:
                    process.send_signal(number)
                code = process.wait(timeout=PATIENCE_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


def last_iteration(work_dir: Path) -> int:
    """The last iteration of the whole run that `Iter [N]` or a JSON line shows, 0 before the first."""
    shown = [entry for entry in json_log(work_dir) if entry["mode"] == "train"]
    return max(((entry["epoch"] - 1) * 4 + entry["iter"] for entry in shown), default=0)


def json_log(work_dir: Path) -> list[dict[str, Any]]:
    """What all logs of a work_dir say, as tools for mmcv's logs read them: all lines but the first of each."""
    entries = []
    for path in sorted(work_dir.glob("*.log.json")):
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # being written
    return [entry for entry in entries if "mode" in entry]


def without_times(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """(mode, epoch, iteration) -> values; a line that was logged again replaces the earlier one."""
    return {
        (entry["mode"], entry["epoch"], entry["iter"]): {
            name: value for name, value in entry.items() if name not in NOT_COMPARED
        }
        for entry in entries
    }


def differences(one: Path, other: Path, *, first_epoch_missing: Sequence[str] = ()) -> list[str]:
    """Where two runs differ to the bit: last checkpoint and logged values; empty when nowhere.

    `first_epoch_missing`: modes whose lines of epoch 1 only `one` has, because `other` was resumed elsewhere.
    """
    expected = {
        key: values
        for key, values in without_times(json_log(one)).items()
        if not (key[0] in first_epoch_missing and key[1] == 1)
    }
    return [
        *checkpoint_differences(one / "latest.pth", other / "latest.pth"),
        *log_differences(expected, without_times(json_log(other))),
    ]


def largest_difference(one: Path, other: Path) -> float:
    """Of all weights of two checkpoints."""
    ours, theirs = load_checkpoint(one).state_dict, load_checkpoint(other).state_dict
    assert list(ours) == list(theirs)
    return max(float((ours[name].double() - theirs[name].double()).abs().max()) for name in ours)


def log_text(work_dir: Path) -> str:
    """What latest.log says."""
    return (work_dir / "latest.log").read_text(encoding="utf-8")


def one_error(ended: Ended) -> str:
    """What a user's mistake leaves on stderr: one error, whose list may go on below."""
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err + ended.out, ended
    assert ended.err.startswith("sdpose: error: "), ended
    assert ended.err.count("sdpose: error: ") == 1, ended
    return ended.err.removeprefix("sdpose: error: ")


def plain(text: str) -> str:
    """A log without its time stamps."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - \S+ - ", "", text, flags=re.MULTILINE)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(path).state_dict)
