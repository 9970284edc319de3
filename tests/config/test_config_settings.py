"""Settings are typed and checked: what is unknown or contradictory is named with file, line and cure."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from sdpose.config.custom import CustomHook, CustomLoss
from sdpose.config.model_settings import HRNetSettings
from sdpose.config.pipeline_settings import Photometric
from sdpose.config.run_settings import DetailedLossLogSettings, TensorboardLogger, TrainingMonitorSettings
from sdpose.config.settings import Settings, load_settings
from sdpose.errors import SdposeError

COCO = "body/2d_kpt_sview_rgb_img/sdpose/coco"


@pytest.fixture(autouse=True)
def no_data_root_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDPOSE_DATA_ROOT", raising=False)


@pytest.fixture
def base(repository: Path) -> str:
    """First line of a config that lies on the published S-V1."""
    return f"_base_ = '{repository / 'configs' / COCO / 'sdpose_s_v1_stemnet_coco_256x192.py'}'\n"


def load(folder: Path, text: str, **options: Any) -> Settings:
    path = folder / "config.py"
    path.write_text(text)
    return load_settings(path, **options)


def refusal(folder: Path, text: str, **options: Any) -> str:
    with pytest.raises(SdposeError) as caught:
        load(folder, text, **options)
    return str(caught.value).replace(f"{folder}/", "")


def test_an_empty_config_says_what_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path, "") == "config.py:1: model: is missing.\nconfig.py:1: data: is missing."


MISTAKES = [
    ("total_epoch = 3", "config.py:2: total_epoch: no such setting. Did you mean 'total_epochs'?"),
    ("total_epochs = '300'", "config.py:2: total_epochs: got '300', expected an integer."),
    ("total_epochs = 300.0", "config.py:2: total_epochs: got 300.0, expected an integer."),
    ("total_epochs = True", "config.py:2: total_epochs: got True, expected an integer."),
    ("total_epochs = 0", "config.py:2: total_epochs: got 0, expected more than 0."),
    (
        "lr_config = dict(stpe=[200])",
        "config.py:2: lr_config.stpe: unknown key. Did you mean 'step'? Known here: ",
    ),
    ("lr_config = dict(policy='stp')", "lr_config: unknown policy 'stp'. Did you mean 'step'?"),
    ("lr_config = dict(_delete_=True, step=[2])", "lr_config: needs a policy, as in dict(policy='...')."),
    ("lr_config = dict(step=[260, 200])", "lr_config.step: got [260, 200], expected growing epochs."),
    ("lr_config = dict(_delete_=True, policy='CosineAnnealing')", "needs either min_lr or min_lr_ratio"),
    (
        "lr_config = dict(warmup='quadratic')",
        "lr_config.warmup: got 'quadratic', expected 'constant', 'linear' or 'exp'.",
    ),
    ("lr_config = dict(warmup_iters=0)", "lr_config.warmup_iters: warmup needs warmup_iters > 0."),
    ("optimizer = dict(type='Adm')", "optimizer: unknown type 'Adm'. Did you mean 'Adam'?"),
    ("runner = 1", "runner: expected dict(type='EpochBasedRunner', max_epochs=N), got 1."),
    ("optimizer = dict(lr=-1)", "config.py:2: optimizer.lr: got -1, expected more than 0."),
    ("optimizer = dict(lr=float('nan'))", "optimizer.lr: got nan, expected"),
    ("optimizer = dict(momentum=0.9)", "optimizer.momentum: unknown key."),
    (
        "optimizer = dict(paramwise_cfg=dict(norm_decay_mult=0))",
        "optimizer.paramwise_cfg: cannot be obeyed: all parameters",
    ),
    ("optimizer = dict(_delete_=True, lr=1)", "optimizer: needs a type, as in dict(type='...')."),
    (
        "optimizer_config = dict(type='Fp16OptimizerHook')",
        "expected 'OptimizerHook' or 'GradientCumulativeOptimizerHook'.",
    ),
    ("optimizer_config = dict(cumulative_iters=2)", "needs type='GradientCumulativeOptimizerHook'."),
    (
        "optimizer_config = dict(grad_clip=dict(max_norm=0.))",
        "optimizer_config.grad_clip.max_norm: got 0.0, expected more",
    ),
    ("fp16 = dict(loss_scale=512.)", "fp16: cannot be obeyed: there is no fp16 training"),
    (
        "workflow = [('train', 1), ('val', 1)]",
        "config.py:2: workflow: got [('train', 1), ('val', 1)], which cannot be obeyed",
    ),
    ("runner = dict(type='EpochBasedRunner', max_epochs=5)", "runner says 5 epochs and total_epochs 300"),
    ("evaluation = dict(metric='PCK')", "evaluation.metric: got 'PCK', expected 'mAP'."),
    ("evaluation = dict(save_best='ap')", "evaluation.save_best: got 'ap', expected 'auto', 'AP'"),
    ("evaluation = dict(rule='less')", "evaluation.rule: got 'less', expected 'greater'."),
    ("evaluation = dict(by_epoch=False)", "evaluation.by_epoch: got False, expected True."),
    (
        "checkpoint_config = dict(interval=0)",
        "checkpoint_config.interval: got 0, expected a positive number or -1.",
    ),
    (
        "checkpoint_config = dict(save_optimizer=False)",
        "checkpoint_config.save_optimizer: got False, expected True.",
    ),
    (
        "log_config = dict(hooks=[dict(type='NeptuneLoggerHook')])",
        "log_config.hooks.0: unknown type 'NeptuneLoggerHook'.",
    ),
    ("log_level = 'LOUD'", "log_level: got 'LOUD'"),
    ("seed = -1", "seed: got -1, expected at least 0."),
    (
        "runtime = dict(precision='fp16')",
        "runtime.precision: got 'fp16', expected 'auto', 'fp32' or 'bf16'. Did you mean",
    ),
    (
        "runtime = dict(compile='cuda_graphs')",
        "runtime.compile: got 'cuda_graphs', expected False, True or 'cuda-graphs'. Did you mean 'cuda-graphs'?",
    ),
    (
        "monitor = dict(on_alert='stpo')",
        "monitor.on_alert: got 'stpo', expected 'warn', 'stop' or 'recover', or a dict of them. Did you mean 'stop'?",
    ),
    (
        "monitor = dict(on_alert=dict(default='warn', loss_spik='stop'))",
        "monitor.on_alert.loss_spik: unknown key. Did you mean 'loss_spike'?",
    ),
    (
        "monitor = dict(on_alert=dict(divergence='repair'))",
        "monitor.on_alert.divergence: got 'repair', expected 'warn', 'stop' or 'recover'.",
    ),
    (
        "monitor = dict(on_alert=dict(disk_low='recover'))",
        "monitor.on_alert.disk_low: cannot be repaired by the run itself; choose 'warn' or 'stop' (repairable: ",
    ),
    (
        "monitor = dict(on_alert='recover', snapshot=False)",
        "monitor.snapshot: recover needs the copies that snapshot makes; leave it True.",
    ),
    ("monitor = dict(max_repairs=0)", "monitor.max_repairs: got 0, expected more than 0."),
    ("monitor = dict(language='fr')", "monitor.language: got 'fr', expected 'en' or 'ko'."),
    (
        "model = dict(type='TopDwn')",
        "model.type: got 'TopDwn', expected 'TopDown' or 'TokenSelfDistil'. Did you mean 'TopDown'?",
    ),
    ("model = dict(neck=dict(type='FPN'))", "model.neck: got a dict, expected None."),
    (
        "model = dict(train_cfg=dict(x=1))",
        "model.train_cfg: cannot be obeyed: nothing reads x from here; remove it.",
    ),
    ("model = dict(pretrained='https://x/y.pth')", "only files on a mounted disk can be read"),
    (
        "model = dict(backbone=dict(type='StemNett'))",
        "model.backbone: unknown type 'StemNett'. Did you mean 'StemNet'?",
    ),
    ("model = dict(backbone=dict(depth=18))", "model.backbone.depth: unknown key."),
    (
        "model = dict(backbone=dict(norm_cfg=dict(type='SyncBN')))",
        "norm_cfg.type: got 'SyncBN', expected 'BN'.",
    ),
    (
        "model = dict(backbone=dict(planes=32))",
        "model.keypoint_head.in_channels: got 256, but StemNet gives 128 channels.",
    ),
    (
        "model = dict(keypoint_head=dict(distill_cfg=dict()))",
        "model.keypoint_head.distill_cfg: unknown key. Known here: ",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(pos_embedding_type='sine')))",
        "expected 'sine-full'.",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(patch_size=[5, 3])))",
        "patches of [5, 3] do not tile a feature map",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(patch_size=4)))",
        "got 4, expected two numbers, as in [64, 48].",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(heads=5)))",
        "got 5 heads, which do not divide dim=192.",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(feature_size=[32, 24])))",
        "data.train.data_cfg.image_size: images of (width, height) [192, 256] give a feature map of (rows, "
        "columns) [64.0, 48.0], but tokenpose_cfg says",
    ),
    (
        "model = dict(keypoint_head=dict(tokenpose_cfg=dict(heatmap_size=[32, 24])))",
        "(width, height) [48, 64] is not the heatmap_size (rows, columns) [32, 24] of tokenpose_cfg.",
    ),
    (
        "model = dict(keypoint_head=dict(num_joints=14))",
        "num_joints: got 17, but the model's head has num_joints=14.",
    ),
    (
        "model = dict(keypoint_head=dict(loss_keypoint=dict(type='JointMSELoss')))",
        "unknown loss type 'JointMSELoss'. Did you mean 'JointsMSELoss'?",
    ),
    (
        "model = dict(keypoint_head=dict(loss_keypoint=dict(type='TokenDistilLoss')))",
        "a TokenDistilLoss cannot stand here",
    ),
    (
        "model = dict(keypoint_head=dict(loss_attn_dist=dict(type='TokenDistilLoss')))",
        "a TokenDistilLoss cannot stand here",
    ),
    (
        "model = dict(keypoint_head=dict(loss_vis_token_dist=dict(dist_type='L1')))",
        "got 'L1', expected 'L2'.",
    ),
    ("model = dict(test_cfg=dict(use_udp=True))", "model.test_cfg.use_udp: got True, expected False."),
    ("model = dict(test_cfg=dict(post_process='megvii'))", "got 'megvii', expected 'unbiased' or 'default'."),
    ("model = dict(test_cfg=dict(modulate_kernel=10))", "modulate_kernel: got 10, expected an odd number."),
    ("data = dict(samples_per_gpu=0)", "data.samples_per_gpu: got 0, expected more than 0."),
    ("data = dict(train=dict(type='TopDownCocoDatset'))", "Did you mean 'TopDownCocoDataset'?"),
    ("data = dict(train=dict(ann_file=3))", "data.train.ann_file: got 3, expected a text."),
    ("data = dict(train=dict(img_prefix='s3://bucket'))", "only files on a mounted disk can be read"),
    (
        "data = dict(train=dict(data_cfg=dict(dataset_channel=[[1, 0]])))",
        "dataset_channel: cannot be obeyed: each data set",
    ),
    ("data = dict(train=dict(data_cfg=dict(num_output_channels=14)))", "got 14, expected num_joints=17."),
    ("data = dict(train=dict(dataset_info=dict(_delete_=True)))", "expected the keypoints by number"),
    (
        "data = dict(train=dict(dataset_info=dict(keypoint_info=dict(_delete_=True, x=1))))",
        "num_joints: got 17, but dataset_info",
    ),
    (
        "data = dict(val=dict(data_cfg=dict(bbox_file=None)))",
        "data.val.data_cfg.bbox_file: is missing: name the file",
    ),
    (
        "data = dict(val=dict(data_cfg=dict(bbox_file='')))",
        "set use_gt_bbox=True to evaluate on the annotated ones.",
    ),
    (
        "data = dict(train_dataloader=dict(drop_last=True))",
        "data.train_dataloader.drop_last: cannot be obeyed: every sample",
    ),
    ("data = dict(train=dict(pipeline=[]))", "data.train.pipeline: the step LoadImageFromFile is missing."),
    ("data = dict(train=dict(pipeline=3))", "data.train.pipeline: got 3, expected a dict."),
    (
        "data = dict(val=dict(pipeline={{_base_.train_pipeline}}))",
        "the pipeline of val changes samples at random",
    ),
    (
        "data = dict(train=dict(pipeline={{_base_.val_pipeline}}))",
        "data.train.pipeline: the step TopDownGenerateTarget is missing.",
    ),
    (
        "data = dict(train=dict(pipeline={{_base_.train_pipeline}} + [dict(type='ToTensor')]))",
        "data.train.pipeline.10: ToTensor stands here for the second time",
    ),
    (
        "data = dict(train=dict(pipeline={{_base_.train_pipeline}}[::-1]))",
        "TopDownGenerateTarget stands where LoadImageFromFile belongs; the order is fixed",
    ),
    (
        "data = dict(train=dict(pipeline={{_base_.train_pipeline}} + [dict(type='Colect')]))",
        "data.train.pipeline.10: unknown type 'Colect'. Did you mean 'Collect'?",
    ),
    ("custom_imports = dict(imports=3)", "custom_imports.imports: got 3, expected a list."),
    (
        "custom_hooks = [dict(type='TrainingMonitorHok')]",
        "custom_hooks.0: unknown hook type 'TrainingMonitorHok'. Did you mean 'TrainingMonitorHook'?",
    ),
    ("custom_hooks = [dict(type='TrainingMonitorHook', check=1)]", "custom_hooks.0.check: unknown key."),
    ("custom_hooks = [3]", "custom_hooks.0: got 3, expected a dict."),
]


@pytest.mark.parametrize(("text", "reason"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_named_with_file_line_and_cure(
    tmp_path: Path, base: str, text: str, reason: str
) -> None:
    message = refusal(tmp_path, base + text)
    assert reason in message
    assert message.startswith("config.py:2: ") or "configs/_base_/" in message.split(": ")[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path, base: str) -> None:
    text = base + "total_epochs = 0\noptimizer = dict(lr=0)\nevaluation = dict(intervall=1)"
    lines = refusal(tmp_path, text).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["config.py:3", "optimizer.lr"],
        ["config.py:2", "total_epochs"],
        ["config.py:4", "evaluation.intervall"],
    ]


def test_mistakes_on_the_command_line_name_the_option(tmp_path: Path, base: str) -> None:
    message = refusal(tmp_path, base, cfg_options=["optimizer.lrr=1"])
    assert message.startswith("--cfg-options optimizer.lrr=1: optimizer.lrr: unknown key. Did you mean 'lr'?")
    message = refusal(tmp_path, base, cfg_options=["nonsense=1"])
    assert message.startswith("--cfg-options nonsense=1: nonsense: no such setting. Known: ")
    for option, meant in (("lr=3", "optimizer.lr"), ("workers_per_gpu=2", "data.workers_per_gpu")):
        message = refusal(tmp_path, base, cfg_options=[option])
        assert f": no such setting. Did you mean '{meant}'?" in message


class TestNotes:
    """A key of the original without a meaning here is accepted, with one line that says so."""

    @pytest.mark.parametrize(
        ("text", "note"),
        [
            (
                "dist_params = dict(backend='nccl')",
                "config.py:2: dist_params has no meaning here: the backend is nccl",
            ),
            (
                "workflow = [('train', 1)]",
                "config.py:2: workflow has no meaning here: every epoch is one of training.",
            ),
            ("opencv_num_threads = 0", "config.py:2: opencv_num_threads has no meaning here"),
            ("mp_start_method = 'fork'", "config.py:2: mp_start_method has no meaning here"),
            ("cudnn_benchmark = True", "config.py:2: cudnn_benchmark has no meaning here"),
            ("gpu_ids = [0]", "config.py:2: gpu_ids has no meaning here"),
            ("evaluation = dict(gpu_collect=True)", "config.py:2: gpu_collect has no meaning here"),
            ("data = dict(val=dict(data_cfg=dict(nms_thr=1.0)))", "config.py:2: nms_thr has no meaning here"),
            ("data = dict(test_dataloader=dict(shuffle=False))", "config.py:2: shuffle has no meaning here"),
            ("custom_imports = dict(imports=['mmpose.x'])", "config.py:2: importing mmpose.x is not needed"),
            (
                "custom_imports = dict(imports='distilpose.models.detectors.training_monitor_hook')",
                "is not needed",
            ),
            ("left_over = 3", "config.py:2: nothing uses the name 'left_over'."),
        ],
    )
    def test_one_line_for_each(self, tmp_path: Path, base: str, text: str, note: str) -> None:
        notes = load(tmp_path, base + text).notes
        assert len(notes) == 1
        assert note in notes[0]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "model = dict(train_cfg=dict())",
            "date = '1027'\nexp_name = f'x_{date}'\nwork_dir = f'./work_dirs/{exp_name}'",
            "channel_cfg = dict(num_output_channels=17)\ntrain_pipeline = []",
            "find_unused_parameters = False",
            "evaluation = dict(metric=['mAP'])",
        ],
    )
    def test_none_for_what_is_obeyed(self, tmp_path: Path, base: str, text: str) -> None:
        assert load(tmp_path, base + text).notes == ()


class TestKnownByName:
    """What users' files carry beyond the official ones."""

    @pytest.mark.parametrize(
        ("text", "arguments"),
        [
            (
                "dict(type='AdamW', weight_decay=1e-4)",
                {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "weight_decay": 1e-4},
            ),
            ("dict(type='Adam', betas=(0.5, 0.9))", {"betas": (0.5, 0.9), "eps": 1e-8, "amsgrad": False}),
            (
                "dict(_delete_=True, type='SGD', lr=0.1, momentum=0.9, nesterov=True)",
                {"momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": True},
            ),
        ],
    )
    def test_optimizers(self, tmp_path: Path, base: str, text: str, arguments: dict[str, Any]) -> None:
        assert load(tmp_path, f"{base}optimizer = {text}").optimizer.arguments == arguments

    @pytest.mark.parametrize(
        ("text", "policy"),
        [
            ("dict(policy='CosineAnnealing', min_lr=1e-6)", "CosineAnnealing"),
            (
                "dict(policy='CosineAnnealing', min_lr_ratio=0.01, warmup='exp', warmup_iters=5)",
                "CosineAnnealing",
            ),
            ("dict(policy='poly', power=0.9, min_lr=0, by_epoch=False)", "poly"),
            ("dict(policy='Step', step=30)", "step"),
            ("dict(policy='fixed', warmup='constant', warmup_iters=2, warmup_by_epoch=True)", "fixed"),
        ],
    )
    def test_schedules(self, tmp_path: Path, base: str, text: str, policy: str) -> None:
        settings = load(tmp_path, base + "lr_config = " + text.replace("dict(", "dict(_delete_=True, "))
        assert settings.lr_config.policy == policy

    def test_accumulation(self, tmp_path: Path, base: str) -> None:
        text = "optimizer_config = dict(type='GradientCumulativeOptimizerHook', cumulative_iters=4)"
        assert load(tmp_path, base + text).optimizer_config.cumulative_iters == 4

    def test_runner_is_another_spelling_of_total_epochs(self, tmp_path: Path, repository: Path) -> None:
        text = "\n".join(
            f"_base_ = [{', '.join(repr(str(repository / 'configs/_base_' / name)) for name in names)}]"
            for names in [("datasets/coco_256x192.py", "models/sdpose.py")]
        )
        assert (
            load(tmp_path, text + "\nrunner = dict(type='EpochBasedRunner', max_epochs=7)").total_epochs == 7
        )
        assert load(tmp_path, text).total_epochs == 300

    def test_crowdpose(self, tmp_path: Path, base: str, repository: Path) -> None:
        facts = repository / "configs/_base_/datasets/crowdpose.py"
        text = base.replace("= '", "= ['").replace("'\n", f"', '{facts}']\n")
        (tmp_path / "facts.py").write_text(facts.read_text().replace("dataset_info =", "crowdpose ="))
        text = base.replace("= '", "= ['").replace("'\n", f"', '{tmp_path / 'facts.py'}']\n")
        split = "dict(type='TopDownCrowdPoseDataset', dataset_info=info, data_cfg=cfg)"
        settings = load(
            tmp_path,
            text
            + "info = dict({{_base_.crowdpose}}, _delete_=True)\n"
            + "n = list(range(14))\n"
            + "cfg = dict(num_joints=14, inference_channel=n, dataset_channel=[n])\n"
            + f"data = dict(train={split}, val={split}, test={split})\n"
            + "model = dict(keypoint_head=dict(num_joints=14))",
        )
        assert settings.data.train.type == "TopDownCrowdPoseDataset"
        assert settings.data.train.dataset_info is not None
        assert len(settings.data.train.dataset_info["sigmas"]) == 14
        assert settings.model.keypoint_head.num_joints == 14

    def test_photometric_distortion(self, tmp_path: Path, base: str) -> None:
        distortion = (
            "dict(type='PhotometricDistortion', brightness_delta=40, contrast_range=(0.7, 1.3), hue_delta=15)"
        )
        steps = "{{_base_.train_pipeline}}"
        text = f"data = dict(train=dict(pipeline={steps}[:7] + [{distortion}] + {steps}[7:]))"
        settings = load(tmp_path, base + text)
        assert settings.data.train.pipeline.photometric == Photometric(
            brightness_delta=40, contrast_range=(0.7, 1.3), saturation_range=(0.5, 1.5), hue_delta=15
        )
        assert settings.notes == ()
        early = load(tmp_path, base + text.replace("[:7]", "[:1]").replace("[7:]", "[1:]"))
        assert early.notes == (
            "PhotometricDistortion changes the crop, after TopDownAffine, wherever the pipeline names it.",
        )
        with pytest.raises(SdposeError, match="put it before ToTensor"):
            load(tmp_path, base + text.replace("[:7]", "[:8]").replace("[7:]", "[8:]"))

    def test_tensorboard(self, tmp_path: Path, base: str) -> None:
        hooks = "[dict(type='TextLoggerHook'), dict(type='TensorboardLoggerHook')]"
        text = f"log_config = dict(interval=7, hooks={hooks})"
        settings = load(tmp_path, base + text)
        assert settings.log_config.interval == 7
        assert settings.log_config.tensorboard == TensorboardLogger(type="TensorboardLoggerHook")

    def test_mlflow_and_wandb_as_mmcv_names_them(self, tmp_path: Path, base: str) -> None:
        hooks = (
            "[dict(type='MlflowLoggerHook', exp_name='tries', tags=dict(who='me'), log_model=False, ignore_last=True), "
            "dict(type='WandbLoggerHook', init_kwargs=dict(project='pose', tags=['a']), out_suffix='.log'), "
            "dict(type='MlflowLoggerHook', tags=None), dict(type='WandbLoggerHook', init_kwargs=None)]"
        )
        settings = load(tmp_path, base + f"log_config = dict(interval=7, hooks={hooks})")
        mlflow, wandb, bare_mlflow, bare_wandb = settings.log_config.hooks
        assert (mlflow.exp_name, mlflow.tags) == ("tries", {"who": "me"})
        assert wandb.init_kwargs == {"project": "pose", "tags": ["a"]}
        assert (bare_mlflow.tags, bare_wandb.init_kwargs) == ({}, {})
        assert [note.partition(": ")[2] for note in settings.notes] == [
            "ignore_last has no meaning here: the rest of an epoch is never logged.",
            "out_suffix has no meaning here: no files are copied.",
        ]
        (tmp_path / "again.py").write_text(settings.python_text(), encoding="utf-8")
        assert load_settings(tmp_path / "again.py") == settings

    @pytest.mark.parametrize(
        ("hook", "reason"),
        [
            (
                "type='MlflowLoggerHook', log_model=True",
                "log_model: got True, which cannot be obeyed: files stay in the",
            ),
            (
                "type='MlflowLoggerHook', interval=5",
                "interval: cannot be obeyed: all loggers log every log_config",
            ),
            (
                "type='MlflowLoggerHook', params=dict(a=1)",
                "params: cannot be obeyed: the settings of the run are logged",
            ),
            ("type='MlflowLoggerHook', by_epoch=False", "by_epoch: got False, expected True."),
            ("type='MlflowLoggerHook', tags=dict(a=1)", "tags.a: got 1, expected a text."),
            ("type='MlflowLoggerHook', expname='x'", "expname: unknown key. Did you mean 'exp_name'?"),
            (
                "type='WandbLoggerHook', log_artifact=True",
                "log_artifact: got True, which cannot be obeyed: files stay",
            ),
            ("type='WandbLoggerHook', with_step=False", "with_step: got False, expected True."),
            ("type='WandbLoggerHook', commit=False", "commit: got False, expected True."),
            (
                "type='WandbLoggerHook', init_kwargs=dict(resume='must')",
                "init_kwargs.resume: cannot be obeyed: a training that is resumed goes on in its own run by itself.",
            ),
            ("type='WandbLoggerHook', init_kwargs=3", "init_kwargs: got 3, expected a dict."),
        ],
    )
    def test_what_a_logger_cannot_do_is_refused(
        self, tmp_path: Path, base: str, hook: str, reason: str
    ) -> None:
        with pytest.raises(SdposeError) as caught:
            load(tmp_path, base + f"log_config = dict(hooks=[dict({hook})])")
        assert f"log_config.hooks.0.{reason}" in str(caught.value)

    def test_our_extensions(self, tmp_path: Path, base: str) -> None:
        settings = load(
            tmp_path,
            base
            + "model = dict(type='TokenSelfDistil', backbone=dict(planes=16, num_blocks=2, norm_eval=True), "
            "keypoint_head=dict(in_channels=64))\n"
            "runtime = dict(precision='bf16', channels_last=True, tf32=False, compile=True)\n"
            "monitor = dict(on_alert='stop')",
        )
        assert settings.model.backbone.norm_eval
        assert (settings.runtime.precision, settings.runtime.compile) == ("bf16", True)
        assert (settings.monitor.on_alert, settings.monitor.on_non_finite_loss) == ("stop", "stop")

    @pytest.mark.parametrize(
        ("monitor", "non_finite", "loss_spike", "disk_low"),
        [
            ("", "stop", "warn", "warn"),
            ("on_non_finite_loss='warn'", "warn", "warn", "warn"),
            ("on_alert='stop', on_non_finite_loss='warn'", "warn", "stop", "stop"),
            ("on_alert='recover'", "recover", "recover", "warn"),
            ("on_non_finite_loss='recover'", "recover", "warn", "warn"),
            ("on_alert=dict(default='stop', loss_spike='warn')", "stop", "warn", "stop"),
            (
                "on_alert=dict(non_finite='recover', loss_spike='stop'), on_non_finite_loss='warn'",
                "recover",
                "stop",
                "warn",
            ),
        ],
    )
    def test_reactions_by_kind(
        self, tmp_path: Path, base: str, monitor: str, non_finite: str, loss_spike: str, disk_low: str
    ) -> None:
        settings = load(tmp_path, base + f"monitor = dict({monitor})").monitor
        expected = (non_finite, loss_spike, disk_low)
        assert tuple(settings.reaction(kind) for kind in ("non_finite", "loss_spike", "disk_low")) == expected
        assert settings.recovers == ("recover" in expected)

    def test_steps_that_are_left_out_do_nothing(self, tmp_path: Path, base: str) -> None:
        steps = "{{_base_.train_pipeline}}"
        text = f"data = dict(train=dict(pipeline=[{steps}[0], *{steps}[6:]]))"
        pipeline = load(tmp_path, base + text).data.train.pipeline
        assert (pipeline.padding, pipeline.shift_prob, pipeline.flip_prob) == (1.25, 0.0, 0.0)
        assert (pipeline.half_body_prob, pipeline.rot_prob, pipeline.scale_factor) == (0.0, 0.0, 0.0)
        assert pipeline.random_steps == []


class TestOwnTypes:
    """A research loss or hook of the user's comes from a file named in custom_imports."""

    LOSS = "model = dict(keypoint_head=dict(loss_ew_heatmap=dict(type='EntropyLoss', loss_weight=1e-5, kl=True)))\n"
    HOOK = "custom_hooks = [dict(type='MyHook', priority='VERY_LOW', n=[1])]\n"
    IMPORTS = "custom_imports = dict(imports=['my_losses.py', 'mmcv.x'], allow_failed_imports=False)\n"

    def test_without_custom_imports_the_error_shows_the_lines_to_add(self, tmp_path: Path, base: str) -> None:
        message = refusal(tmp_path, base + self.LOSS)
        first, *example = message.splitlines()
        assert first == (
            "config.py:2: model.keypoint_head.loss_ew_heatmap: unknown loss type 'EntropyLoss'. Known here: "
            "JointsMSELoss, TokenDistilLoss. If it is your own, put it into a file and name that file in the "
            "config:"
        )
        assert "    class EntropyLoss(nn.Module):" in example
        assert "        def __init__(self, loss_weight=1e-05, kl=True):" in example
        assert (
            example[-1] == "    custom_imports = dict(imports=['my_losses.py'], allow_failed_imports=False)"
        )
        assert 10 <= len(example) <= 16
        compile("\n".join(line.removeprefix("    ") for line in example), "example", "exec")

    def test_the_same_for_hooks_and_only_once_a_kind(self, tmp_path: Path, base: str) -> None:
        message = refusal(tmp_path, base + self.LOSS + self.HOOK + "x = 1")
        assert message.count("class EntropyLoss(nn.Module)") == 1
        assert message.count("class MyHook(Hook)") == 1
        two = self.LOSS.replace("loss_ew_heatmap", "loss_vis_token_dist").replace(
            "))\n", ", loss_b=dict(type='B')))\n"
        )
        assert refusal(tmp_path, base + two).count("custom_imports = dict(") == 1

    def test_official_packages_do_not_count_as_own(self, tmp_path: Path, base: str) -> None:
        text = (
            base
            + self.LOSS
            + "custom_imports = dict(imports=['distilpose.models.losses'], allow_failed_imports=False)"
        )
        assert "unknown loss type 'EntropyLoss'" in refusal(tmp_path, text)

    def test_with_custom_imports_they_are_handed_on(self, tmp_path: Path, base: str) -> None:
        (tmp_path / "my_losses.py").touch()
        settings = load(tmp_path, base + self.LOSS + self.HOOK + self.IMPORTS)
        assert settings.custom_imports.imports == (str(tmp_path / "my_losses.py"),)
        loss = settings.model.keypoint_head.extra_losses["loss_ew_heatmap"]
        assert isinstance(loss, CustomLoss)
        assert (loss.type, loss.kwargs) == ("EntropyLoss", {"loss_weight": 1e-5, "kl": True})
        assert loss.where == f"{tmp_path / 'config.py'}:2"
        (hook,) = settings.custom_hooks
        assert isinstance(hook, CustomHook)
        assert (hook.type, hook.kwargs) == ("MyHook", {"n": [1]})

    def test_in_the_place_of_a_known_loss(self, tmp_path: Path, base: str) -> None:
        losses = "loss_keypoint=dict(_delete_=True, type='Mine'), loss_kpt_token_dist=None"
        text = f"model = dict(keypoint_head=dict({losses}))\n"
        head = load(tmp_path, base + text + self.IMPORTS).model.keypoint_head
        assert isinstance(head.loss_keypoint, CustomLoss)
        assert head.loss_kpt_token_dist is None

    def test_settings_with_own_types_survive_a_round_trip(self, tmp_path: Path, base: str) -> None:
        (tmp_path / "my_losses.py").touch()
        settings = load(tmp_path, base + self.LOSS + self.HOOK + self.IMPORTS)
        (tmp_path / "elsewhere").mkdir()
        copy = tmp_path / "elsewhere" / "copy.py"
        copy.write_text(settings.python_text())
        assert load_settings(copy) == settings


class TestDataRoot:
    """The data folder is chosen by option or environment."""

    def test_option_beats_environment_beats_config(
        self, tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert load(tmp_path, base).data.train.img_prefix == "data/coco/train2017"
        monkeypatch.setenv("SDPOSE_DATA_ROOT", "/env/")
        settings = load(tmp_path, base)
        assert settings.data.train.img_prefix == "/env/train2017"
        assert settings.notes == (
            "data_root = '/env/' comes from the environment variable SDPOSE_DATA_ROOT.",
        )
        settings = load(tmp_path, base, cfg_options=["data_root=/option"])
        assert (settings.data.train.img_prefix, settings.notes) == ("/option/train2017", ())
        settings = load(tmp_path, base, cfg_options=["data_root=/option"], data_root="/argument")
        assert settings.data.val.data_cfg.bbox_file == (
            "/argument/person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
        )

    def test_an_option_without_effect_is_refused(self, tmp_path: Path, base: str) -> None:
        text = load(tmp_path, base).python_text().replace("data_root = 'data/coco'\n", "")
        assert refusal(tmp_path, text, data_root="/x").startswith(
            "config.py: assigns no data_root that '/x' could replace"
        )

    def test_a_resolved_config_can_still_be_moved(self, tmp_path: Path, base: str) -> None:
        moved = load(tmp_path, load(tmp_path, base).python_text(), data_root="/x")
        assert moved.data.test.ann_file == "/x/annotations/person_keypoints_val2017.json"

    def test_paths_given_by_name_stay(self, tmp_path: Path, base: str) -> None:
        options = ["data.val.ann_file=data/coco/tiny.json"]
        settings = load(tmp_path, base, cfg_options=options, data_root="/x")
        assert settings.data.val.ann_file == "data/coco/tiny.json"


def test_options_change_helpers_and_what_is_built_from_them(tmp_path: Path, repository: Path) -> None:
    path = repository / "configs" / COCO / "sdpose_s_v1_stemnet_coco_256x192.py"
    options = [
        "exp_description=mine",
        "custom_hooks.0.check_interval=5",
        "data.samples_per_gpu=8",
        "optimizer.lr=5e-4",
    ]
    settings = load_settings(path, cfg_options=options, changes={"seed": 7, "load_from": "a,b.pth"})
    assert settings.work_dir == "./work_dirs/sdpose_s_v1_1024_mine"
    assert isinstance(settings.custom_hooks[0], TrainingMonitorSettings)
    assert settings.custom_hooks[0].check_interval == 5
    assert settings.custom_hooks[1] == DetailedLossLogSettings(type="DetailedLossLogHook", log_interval=50)
    assert (settings.data.samples_per_gpu, settings.optimizer.lr) == (8, 5e-4)
    assert (settings.seed, settings.load_from) == (7, "a,b.pth")


def test_the_default_work_dir_has_the_name_of_the_config(tmp_path: Path, repository: Path) -> None:
    settings = load_settings(repository / "configs" / COCO / "sdpose_b_hr32_coco_256x192.py")
    assert settings.work_dir == "./work_dirs/sdpose_b_hr32_coco_256x192"
    assert isinstance(settings.model.backbone, HRNetSettings)


def scalars(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of everything below a plain value, containers included."""
    children = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    return [path, *itertools.chain.from_iterable(scalars(item, (*path, str(key))) for key, item in children)]


ODD_VALUES = [
    None,
    True,
    -1,
    0,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    [],
    [1, "a"],
    {},
    {"type": "x"},
    {0: []},
]


def test_no_odd_value_anywhere_gets_past_with_another_error(repository: Path) -> None:
    path = repository / "configs" / COCO / "sdpose_s_v1_stemnet_coco_256x192.py"
    raw = load_settings(path)._raw
    del (
        raw["data"]["test"],
        raw["data"]["val"]["dataset_info"],
        raw["data"]["train"]["dataset_info"]["skeleton_info"],
    )
    paths = [".".join(parts) for parts in scalars(raw) if parts and "keypoint_info" not in parts[:-1]]
    assert len(paths) > 150
    told = {}
    for number, key in enumerate(paths):
        odd = ODD_VALUES[number % len(ODD_VALUES)]
        try:
            load_settings(path, changes={key: odd})
        except SdposeError as error:
            told[key, str(odd)] = str(error)
    assert len(told) > 100
    assert [case for case, message in told.items() if "--cfg-options" not in message] == []
