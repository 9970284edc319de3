# SDPose-S-V1: twelve blocks, two cycles, 256 visual tokens. 6.6 M parameters, 2.4 GMACs (published count).
# Trained with the settings of the monitoring guide; docs/guide-map.md says where each of its sentences lives.
_base_ = [
    '../../../../_base_/datasets/coco_256x192.py',
    '../../../../_base_/default_runtime.py',
    '../../../../_base_/models/sdpose.py',
]

# The experiment: its results go to work_dirs/sdpose_s_v1_<date>_<description>/.
date = '1024'
exp_description = 'baseline'
exp_name = f'sdpose_s_v1_{date}_{exp_description}'
work_dir = f'./work_dirs/{exp_name}'

data = dict(
    samples_per_gpu=64,
    workers_per_gpu=2,
)

optimizer_config = dict(grad_clip=dict(max_norm=5.0, norm_type=2))

# Evaluation follows checkpointing, so that a best checkpoint can be kept every 5 epochs.
evaluation = dict(interval=5, metric='mAP', save_best='AP')
checkpoint_config = dict(
    interval=10,
    max_keep_ckpts=3,
    save_last=True,
)

# The hooks of the monitoring guide: loss spikes, drops of AP, every loss term in the log.
custom_hooks = [
    dict(
        type='TrainingMonitorHook',
        check_interval=50,
        loss_spike_threshold=2.0,
        performance_drop_threshold=0.05,
        save_stats=True,
    ),
    dict(type='DetailedLossLogHook', log_interval=50),
]
