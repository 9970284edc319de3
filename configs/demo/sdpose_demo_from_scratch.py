# The demo model from its random start: the same data, model and losses, and the time that this takes.
# What it looks like on the way (a flat loss for the first 250 iterations, then a bend) is told in docs/plateau.md.
_base_ = ['sdpose_demo.py']

work_dir = './work_dirs/sdpose_demo_from_scratch'

total_epochs = 32
optimizer = dict(lr=6e-4)
evaluation = dict(interval=4)

# Broader targets than the published sigma of 2: easier to find from nothing, less exact in the end.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TopDownGetBboxCenterScale', padding=1.25),
    dict(type='TopDownRandomShiftBboxCenter', shift_factor=0.08, prob=0.3),
    dict(type='TopDownRandomFlip', flip_prob=0.5),
    dict(type='TopDownGetRandomScaleRotation', rot_factor=0, scale_factor=0.15, rot_prob=0.0),
    dict(type='TopDownAffine'),
    dict(type='ToTensor'),
    dict(type='NormalizeTensor', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    dict(type='TopDownGenerateTarget', sigma=3, unbiased_encoding=True),
]
data = dict(train=dict(pipeline=train_pipeline))
