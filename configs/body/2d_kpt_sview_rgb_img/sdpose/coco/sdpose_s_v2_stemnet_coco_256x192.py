# SDPose-S-V2: smaller patches, 768 visual tokens. 6.2 M parameters, 4.7 GMACs (published count), 73.5 AP published.
_base_ = [
    '../../../../_base_/datasets/coco_256x192.py',
    '../../../../_base_/default_runtime.py',
    '../../../../_base_/models/sdpose.py',
]

model = dict(keypoint_head=dict(tokenpose_cfg=dict(patch_size=[2, 2])))
data = dict(samples_per_gpu=24)
