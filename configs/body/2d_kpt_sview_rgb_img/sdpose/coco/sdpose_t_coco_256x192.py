# SDPose-T: half the depth, three cycles. 4.4 M parameters, 1.8 GMACs (published count), 69.7 AP published.
_base_ = [
    '../../../../_base_/datasets/coco_256x192.py',
    '../../../../_base_/default_runtime.py',
    '../../../../_base_/models/sdpose.py',
]

model = dict(keypoint_head=dict(tokenpose_cfg=dict(depth=6, cycle_num=3)))
