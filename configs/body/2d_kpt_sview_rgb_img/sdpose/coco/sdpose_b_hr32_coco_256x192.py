# SDPose-B: three stages of HRNet-W32 as backbone. 13.2 M parameters, 5.2 GMACs (published count).
_base_ = [
    '../../../../_base_/datasets/coco_256x192.py',
    '../../../../_base_/default_runtime.py',
    '../../../../_base_/models/sdpose.py',
]

model = dict(
    # ImageNet weights of HRNet-W32; None trains from nothing.
    pretrained='pretrained_model/hrnet/hrnet_w32-36af842e.pth',
    backbone=dict(
        _delete_=True,
        type='HRNet_3stage',
        in_channels=3,
        extra=dict(
            stage1=dict(
                num_modules=1,
                num_branches=1,
                block='BOTTLENECK',
                num_blocks=(4,),
                # 32, not the usual 64: so the published model is built.
                num_channels=(32,),
            ),
            stage2=dict(
                num_modules=1,
                num_branches=2,
                block='BASIC',
                num_blocks=(4, 4),
                num_channels=(32, 64),
            ),
            stage3=dict(
                num_modules=4,
                num_branches=3,
                block='BASIC',
                num_blocks=(4, 4, 4),
                num_channels=(32, 64, 128),
            ),
        ),
    ),
    keypoint_head=dict(in_channels=32),
)
data = dict(samples_per_gpu=32)
