# How long to train, what to log and what to keep: the published recipe.
log_level = 'INFO'
load_from = None
resume_from = None
total_epochs = 300
checkpoint_config = dict(interval=10)
evaluation = dict(interval=10, metric='mAP', save_best='AP')
log_config = dict(
    interval=50,
    hooks=[
        dict(type='TextLoggerHook'),
        # dict(type='TensorboardLoggerHook'),
    ],
)

optimizer = dict(type='Adam', lr=1e-3)
optimizer_config = dict()
lr_config = dict(
    policy='step',
    step=[200, 260],
    warmup='linear',
    warmup_iters=500,
    warmup_ratio=0.001,
)
