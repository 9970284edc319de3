# A small but true SDPose that learns on two CPU cores in minutes, from drawn people (`sdpose data synth`).
# Crops of 128 x 96 pixels, 64 visual tokens of width 96, four blocks, two cycles, both token losses: 0.54 M parameters.
# Why each number is what it is: docs/plateau.md.
_base_ = ['../_base_/datasets/coco.py', '../_base_/default_runtime.py']

data_root = 'data/synthetic'
work_dir = './work_dirs/sdpose_demo'

# Going on from the shipped weights: a higher rate would first unlearn (3e-4: AP 0.56 -> 0.51 in an epoch).
# From nothing: sdpose_demo_from_scratch.py.
total_epochs = 5
optimizer = dict(type='Adam', lr=1.5e-4)
optimizer_config = dict(grad_clip=dict(max_norm=1.0, norm_type=2))
lr_config = dict(
    _delete_=True,
    policy='CosineAnnealing',
    min_lr_ratio=0.01,
    by_epoch=False,
    warmup='linear',
    warmup_iters=100,
    warmup_ratio=0.01,
)

evaluation = dict(interval=1, metric='mAP', save_best='AP')
checkpoint_config = dict(interval=5, max_keep_ckpts=2, save_last=True)
log_config = dict(interval=20, hooks=[dict(type='TextLoggerHook')])
custom_hooks = [
    dict(type='TrainingMonitorHook', check_interval=50, loss_spike_threshold=2.0, performance_drop_threshold=0.05),
    dict(type='DetailedLossLogHook', log_interval=50),
]

model = dict(
    type='TopDown',
    backbone=dict(type='StemNet', planes=16, num_blocks=2),
    keypoint_head=dict(
        type='SDPoseHead',
        in_channels=64,
        num_joints=17,
        loss_keypoint=dict(type='JointsMSELoss', use_target_weight=True),
        loss_vis_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        loss_kpt_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        tokenpose_cfg=dict(
            feature_size=[32, 24],
            patch_size=[4, 3],
            dim=96,
            depth=4,
            heads=4,
            mlp_ratio=3,
            heatmap_size=[32, 24],
            pos_embedding_type='sine-full',
            apply_init=True,
            cycle_num=2,
        ),
    ),
    test_cfg=dict(flip_test=True, post_process='unbiased', shift_heatmap=True, modulate_kernel=11),
)

data_cfg = dict(
    image_size=[96, 128],
    heatmap_size=[24, 32],
    num_joints=17,
    use_gt_bbox=False,
    bbox_file=f'{data_root}/person_detection_results/COCO_val2017_detections_AP_H_56_person.json',
    det_bbox_thr=0.0,
    oks_thr=0.9,
    vis_thr=0.2,
    soft_nms=False,
)

# Milder than the published augmentation: no rotation and no half bodies, which a few minutes cannot make use of.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
    dict(type='TopDownRandomShiftBboxCenter', shift_factor=0.08, prob=0.3),
    dict(type='TopDownRandomFlip', flip_prob=0.5),
    dict(type='TopDownGetRandomScaleRotation', rot_factor=0, scale_factor=0.15, rot_prob=0.0),
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    dict(type='TopDownGenerateTarget', sigma=2, unbiased_encoding=True),
]

val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]

data = dict(
    samples_per_gpu=32,
    workers_per_gpu=1,
    val_dataloader=dict(samples_per_gpu=64),
    test_dataloader=dict(samples_per_gpu=64),
    train=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_train2017.json',
        img_prefix=f'{data_root}/train2017',
        data_cfg=data_cfg,
        pipeline=train_pipeline,
        dataset_info={{_base_.dataset_info}},
    ),
    val=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_val2017.json',
        img_prefix=f'{data_root}/val2017',
        data_cfg=data_cfg,
        pipeline=val_pipeline,
        dataset_info={{_base_.dataset_info}},
    ),
    test=dict(
        type='TopDownCocoDataset',
        ann_file=f'{data_root}/annotations/person_keypoints_val2017.json',
        img_prefix=f'{data_root}/val2017',
        data_cfg=data_cfg,
        pipeline=val_pipeline,
        dataset_info={{_base_.dataset_info}},
    ),
)
