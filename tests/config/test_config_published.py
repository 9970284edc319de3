"""The published recipe, in our four configs and in a file written the way the official ones are."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdpose.cli import config as verb
from sdpose.config.model_settings import HRNetSettings, JointsMSELossSettings, TokenDistilLossSettings
from sdpose.config.reader import read_config
from sdpose.config.run_settings import CheckpointSettings, EvaluationSettings
from sdpose.config.schedule_settings import AdamSettings, OptimizerConfig, StepPolicy
from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError
from sdpose.skeleton import COCO17, CROWDPOSE14, Skeleton

FOLDER = "configs/body/2d_kpt_sview_rgb_img/sdpose/coco"
VARIANTS = {
    "sdpose_t_coco_256x192": {"batch": 64, "patch": (4, 3), "depth": 6, "cycles": 3, "in_channels": 256},
    "sdpose_s_v1_stemnet_coco_256x192": {
        "batch": 64,
        "patch": (4, 3),
        "depth": 12,
        "cycles": 2,
        "in_channels": 256,
    },
    "sdpose_s_v2_stemnet_coco_256x192": {
        "batch": 24,
        "patch": (2, 2),
        "depth": 12,
        "cycles": 2,
        "in_channels": 256,
    },
    "sdpose_b_hr32_coco_256x192": {"batch": 32, "patch": (4, 3), "depth": 12, "cycles": 2, "in_channels": 32},
}
S_V1 = "sdpose_s_v1_stemnet_coco_256x192"

# The structure of the official files: one long file, helper names, trailing commas, adjacent string literals, a
# root that ends with a slash.
OFFICIAL_STYLE = """\
_base_ = ['../../../../_base_/datasets/coco.py']
log_level = 'INFO'
load_from = None
resume_from = None
dist_params = dict(backend='nccl')
workflow = [('train', 1)]
checkpoint_config = dict(interval=10)
evaluation = dict(interval=10, metric='mAP', save_best='AP')
optimizer = dict(type='Adam', lr=1e-3,)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=0.001, step=[200, 260])
total_epochs = 300
log_config = dict(
    interval=50,
    hooks=[
        dict(type='TextLoggerHook'),
        # dict(type='TensorboardLoggerHook')
    ])
joints = dict(
    count=17,
    dataset=[[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], ],
    inference=list(range(17)))
model = dict(
    type='TopDown',
    backbone=dict(type='StemNet'),
    keypoint_head=dict(
        type='SDPoseHead',
        in_channels=256,
        num_joints=joints['count'],
        loss_keypoint=dict(type='JointsMSELoss', use_target_weight=True),
        loss_vis_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        loss_kpt_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        tokenpose_cfg=dict(
            feature_size=[64, 48], patch_size=[4, 3], dim=192, depth=12, heads=8, mlp_ratio=3,
            heatmap_size=[64, 48], pos_embedding_type='sine-full', apply_init=True, cycle_num=2
        )),
    train_cfg=dict(),
    test_cfg=dict(flip_test=True, post_process='unbiased', shift_heatmap=True, modulate_kernel=11))
cfg = dict(
    image_size=[192, 256],
    heatmap_size=[48, 64],
    num_output_channels=joints['count'],
    num_joints=joints['count'],
    dataset_channel=joints['dataset'],
    inference_channel=joints['inference'],
    soft_nms=False,
    nms_thr=1.0,
    oks_thr=0.9,
    vis_thr=0.2,
    use_gt_bbox=False,
    det_bbox_thr=0.0,
    bbox_file='/dockerdata/coco/person_detection_results/'
    'COCO_val2017_detections_AP_H_56_person.json',
)
normalize = dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_steps = [
    dict(type='LoadImageFromFile', file_client_args=dict(backend='disk')),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
    dict(type='TopDownRandomShiftBboxCenter', shift_factor=0.16, prob=0.3),
    dict(type='TopDownRandomFlip', flip_prob=0.5),
    dict(type='TopDownHalfBodyTransform', num_joints_half_body=8, prob_half_body=0.3),
    dict(type='TopDownGetRandomScaleRotation', rot_factor=45, scale_factor=0.35),
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    normalize,
    dict(type='TopDownGenerateTarget', sigma=2, unbiased_encoding=True),
    dict(type='Collect', keys=['img', 'target', 'target_weight'], meta_keys=['image_file', 'center', ]),
]
val_steps = [
    dict(type='LoadImageFromFile'),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    normalize,
    dict(type='Collect', keys=['img'], meta_keys=['image_file', 'bbox_score', ]),
]
test_steps = val_steps
data_root = '/dockerdata/coco/'
data = dict(
    samples_per_gpu=64,
    workers_per_gpu=2,
    val_dataloader=dict(samples_per_gpu=32),
    test_dataloader=dict(samples_per_gpu=32),
    train=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_train2017.json',
        img_prefix=f'{data_root}/train2017/',
        data_cfg=cfg,
        pipeline=train_steps,
        dataset_info={{_base_.dataset_info}}),
    val=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_val2017.json',
        img_prefix=f'{data_root}/val2017/',
        data_cfg=cfg,
        pipeline=val_steps,
        dataset_info={{_base_.dataset_info}}),
    test=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_val2017.json',
        img_prefix=f'{data_root}/val2017/',
        data_cfg=cfg,
        pipeline=test_steps,
        dataset_info={{_base_.dataset_info}}),
)
"""


@pytest.fixture(autouse=True)
def no_data_root_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDPOSE_DATA_ROOT", raising=False)


def config_path(repository: Path, name: str) -> Path:
    return repository / FOLDER / f"{name}.py"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_four_configs_carry_the_published_recipe(repository: Path, name: str) -> None:
    settings = load_settings(config_path(repository, name))
    expected = VARIANTS[name]
    assert settings.notes == ()
    assert settings.optimizer == AdamSettings(type="Adam", lr=1e-3)
    assert settings.lr_config == StepPolicy(
        policy="step", step=(200, 260), gamma=0.1, warmup="linear", warmup_iters=500, warmup_ratio=0.001
    )
    assert settings.total_epochs == 300
    assert settings.log_config.interval == 50
    assert (settings.data.train_samples_per_gpu, settings.data.train_workers_per_gpu) == (
        expected["batch"],
        2,
    )
    assert (settings.data.val_samples_per_gpu, settings.data.test_samples_per_gpu) == (32, 32)
    head = settings.model.keypoint_head
    tokens = head.tokenpose_cfg
    assert (head.in_channels, head.num_joints) == (expected["in_channels"], 17)
    assert (tokens.patch_size, tokens.depth, tokens.cycle_num) == (
        expected["patch"],
        expected["depth"],
        expected["cycles"],
    )
    assert (tokens.dim, tokens.heads, tokens.mlp_ratio, tokens.apply_init) == (192, 8, 3, True)
    assert tokens.feature_size == tokens.heatmap_size == (64, 48)
    assert head.loss_keypoint == JointsMSELossSettings(use_target_weight=True)
    assert head.loss_vis_token_dist == head.loss_kpt_token_dist == TokenDistilLossSettings(loss_weight=5e-6)
    test_cfg = settings.model.test_cfg
    assert (test_cfg.flip_test, test_cfg.post_process, test_cfg.shift_heatmap) == (True, "unbiased", True)
    assert test_cfg.modulate_kernel == 11


@pytest.mark.parametrize("name", VARIANTS)
def test_their_data_is_coco_as_published(repository: Path, name: str) -> None:
    data = load_settings(config_path(repository, name)).data
    assert data.train.ann_file == "data/coco/annotations/person_keypoints_train2017.json"
    assert data.val.ann_file == data.test.ann_file == "data/coco/annotations/person_keypoints_val2017.json"
    assert (data.train.img_prefix, data.val.img_prefix) == ("data/coco/train2017", "data/coco/val2017")
    for split in (data.train, data.val, data.test):
        sizes = split.data_cfg
        assert (sizes.image_size, sizes.heatmap_size, sizes.num_joints) == ((192, 256), (48, 64), 17)
        assert (sizes.soft_nms, sizes.use_nms, sizes.oks_thr, sizes.vis_thr) == (False, True, 0.9, 0.2)
        assert (sizes.use_gt_bbox, sizes.det_bbox_thr) == (False, 0.0)
        assert sizes.bbox_file == (
            "data/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
        )
    steps = data.train.pipeline
    assert (steps.padding, steps.shift_factor, steps.shift_prob, steps.flip_prob) == (1.25, 0.16, 0.3, 0.5)
    assert (steps.half_body_num_joints, steps.half_body_prob) == (8, 0.3)
    assert (steps.rot_factor, steps.scale_factor, steps.rot_prob) == (45, 0.35, 0.6)
    assert (steps.sigma, steps.unbiased_encoding, steps.photometric) == (2, True, None)
    assert (steps.mean, steps.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert data.test.pipeline == data.val.pipeline
    assert data.val.pipeline.random_steps == []


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != S_V1])
def test_three_of_them_keep_the_published_cadence(repository: Path, name: str) -> None:
    settings = load_settings(config_path(repository, name))
    assert settings.evaluation == EvaluationSettings(interval=10, metric="mAP", save_best="AP")
    assert settings.checkpoint_config == CheckpointSettings(interval=10)
    assert settings.optimizer_config == OptimizerConfig()
    assert settings.custom_hooks == ()
    assert settings.work_dir == f"./work_dirs/{name}"


def test_s_v1_carries_the_settings_of_the_guide(repository: Path) -> None:
    settings = load_settings(config_path(repository, S_V1))
    assert settings.work_dir == "./work_dirs/sdpose_s_v1_1024_baseline"
    assert (settings.evaluation.interval, settings.evaluation.best_metric) == (5, "AP")
    clip = settings.optimizer_config.grad_clip
    assert clip is not None
    assert (clip.max_norm, clip.norm_type) == (5.0, 2)
    assert settings.checkpoint_config == CheckpointSettings(interval=10, max_keep_ckpts=3, save_last=True)
    assert [hook.model_dump() for hook in settings.custom_hooks] == [
        {
            "type": "TrainingMonitorHook",
            "check_interval": 50,
            "loss_spike_threshold": 2.0,
            "performance_drop_threshold": 0.05,
            "save_stats": True,
        },
        {"type": "DetailedLossLogHook", "log_interval": 50},
    ]


@pytest.mark.parametrize(
    "line",
    [
        "date = '1024'",
        "exp_description = 'baseline'",
        "exp_name = f'sdpose_s_v1_{date}_{exp_description}'",
        "data = dict(\n    samples_per_gpu=64,\n    workers_per_gpu=2,\n)",
        "checkpoint_config = dict(\n    interval=10,\n    max_keep_ckpts=3,\n    save_last=True,\n)",
    ],
)
def test_s_v1_shows_the_lines_that_the_guide_tells_users_to_edit(repository: Path, line: str) -> None:
    assert f"{line}\n" in config_path(repository, S_V1).read_text()


def test_b_has_the_narrow_hrnet_and_its_pretrained_file(repository: Path) -> None:
    model = load_settings(config_path(repository, "sdpose_b_hr32_coco_256x192")).model
    assert model.pretrained == "pretrained_model/hrnet/hrnet_w32-36af842e.pth"
    assert isinstance(model.backbone, HRNetSettings)
    stages = model.backbone.extra
    assert [
        (stage.num_modules, stage.num_branches, stage.block, stage.num_blocks, stage.num_channels)
        for stage in (stages.stage1, stages.stage2, stages.stage3)
    ] == [
        (1, 1, "BOTTLENECK", (4,), (32,)),
        (1, 2, "BASIC", (4, 4), (32, 64)),
        (4, 3, "BASIC", (4, 4, 4), (32, 64, 128)),
    ]


class TestOfficialStyle:
    """A file with the structure of the official ones loads unchanged, without anything beside it."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / FOLDER / "official.py"
        path.parent.mkdir(parents=True)
        path.write_text(OFFICIAL_STYLE)
        return path

    def test_it_says_the_same_as_our_own(self, path: Path, repository: Path) -> None:
        settings = load_settings(path, data_root="data/coco")
        own = load_settings(
            config_path(repository, S_V1),
            cfg_options=[
                "optimizer_config.grad_clip=None",
                "custom_hooks=[]",
                "work_dir=./work_dirs/official",
            ],
            changes={"evaluation.interval": 10, "checkpoint_config": {"interval": 10}},
        )
        assert without_collect(settings) == without_collect(own)

    def test_its_paths_are_tidy(self, path: Path) -> None:
        data = load_settings(path).data
        assert data.train.ann_file == "/dockerdata/coco/annotations/person_keypoints_train2017.json"
        assert data.val.img_prefix == "/dockerdata/coco/val2017"

    def test_what_has_no_meaning_is_said_once(self, path: Path) -> None:
        notes = load_settings(path).notes
        told = [note.split(": ", 1)[1].split(" has no meaning here")[0] for note in notes[1:]]
        assert notes[0].endswith("_base_/datasets/coco.py does not exist; sdpose's own coco.py is used.")
        assert told == [
            "dist_params",
            "workflow",
            "inference_channel",
            "dataset_channel",
            "nms_thr",
            "keys",
            "meta_keys",
        ]

    def test_the_boxes_move_with_the_data_root(self, path: Path) -> None:
        settings = load_settings(path, data_root="/mnt/coco")
        assert settings.data.val.data_cfg.bbox_file == (
            "/mnt/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
        )


def without_collect(settings: Settings) -> dict[str, Any]:
    """Everything but `Collect`, which means nothing here and which our files leave out, and the colours of limbs."""
    dump = settings.model_dump()
    for split in ("train", "val", "test"):
        pipeline = dump["data"][split]["pipeline"]
        pipeline["steps"] = [step for step in pipeline["steps"] if step["type"] != "Collect"]
        dump["data"][split]["data_cfg"].pop("num_output_channels")
    return dump


@pytest.mark.parametrize("name", VARIANTS)
def test_the_resolved_text_reads_back_to_equal_settings(repository: Path, tmp_path: Path, name: str) -> None:
    settings = load_settings(
        config_path(repository, name), cfg_options=["seed=3", "data.train_dataloader.workers_per_gpu=0"]
    )
    copy = tmp_path / "resolved.py"
    copy.write_text(settings.python_text())
    again = load_settings(copy)
    assert again == settings
    assert again.notes == ()
    assert again.python_text().splitlines()[1:] == settings.python_text().splitlines()[1:]
    assert settings != load_settings(config_path(repository, name))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_resolved_text_is_plain_python(repository: Path, name: str) -> None:
    # As the original would read it, for instance from the meta of a checkpoint.
    names: dict[str, Any] = {}
    exec(load_settings(config_path(repository, name)).python_text(), {}, names)
    assert names["total_epochs"] == 300
    assert names["data"]["val"]["dataset_info"] is names["dataset_info"]
    assert len(names["dataset_info"]["sigmas"]) == 17


@pytest.mark.parametrize("name", ["coco", "crowdpose"])
def test_the_packaged_facts_are_those_of_the_repository(repository: Path, name: str) -> None:
    packaged = repository / "sdpose/config/configs/_base_/datasets" / f"{name}.py"
    assert packaged.read_bytes() == (repository / "configs/_base_/datasets" / f"{name}.py").read_bytes()


@pytest.mark.parametrize(("name", "count"), [("coco", 17), ("crowdpose", 14)])
def test_the_facts_agree_with_the_skeletons(repository: Path, name: str, count: int) -> None:
    info = read_config(repository / "configs/_base_/datasets" / f"{name}.py").values["dataset_info"]
    skeleton = Skeleton.from_dataset_info(info)
    assert skeleton == {17: COCO17, 14: CROWDPOSE14}[count]
    assert len(info["joint_weights"]) == count


def run_verb(*arguments: str) -> int:
    """`sdpose config ...` as the command line runs it."""
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers())
    args = parser.parse_args(["config", *arguments])
    return int(args.run(args))


def test_the_command_prints_a_config_and_the_notes_beside_it(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = {str(config_path(repository, S_V1))!r}\ncudnn_benchmark = True\n")
    assert run_verb(str(path), "--data-root", "/mnt/x", "--cfg-options", "optimizer.lr=5e-4", "seed=1") == 0
    out, err = capsys.readouterr()
    assert err.startswith("note: ")
    assert "cudnn_benchmark has no meaning here" in err
    path.write_text(out)
    settings = load_settings(path)
    assert (settings.optimizer.lr, settings.seed) == (5e-4, 1)
    assert settings.data.train.img_prefix == "/mnt/x/train2017"


def test_the_command_tells_a_mistake_in_one_line(repository: Path) -> None:
    with pytest.raises(SdposeError) as caught:
        run_verb(str(config_path(repository, S_V1)), "--cfg-options", "optimizer.lr=fast")
    assert (
        str(caught.value) == "--cfg-options optimizer.lr=fast: optimizer.lr: got 'fast', expected a number."
    )


def test_settings_do_not_need_torch(repository: Path) -> None:
    code = (
        "import sys; from sdpose.config.settings import load_settings; load_settings(sys.argv[1]); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(config_path(repository, S_V1))], check=True)


def test_a_config_without_data_says_so_before_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text("model = 3")
    with pytest.raises(SdposeError, match="model: got 3, expected a dict"):
        load_settings(path)
