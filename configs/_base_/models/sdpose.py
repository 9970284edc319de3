# SDPose-S-V1, of which the other variants change a few numbers. Sizes are (rows, columns) here.
model = dict(
    type='TopDown',
    backbone=dict(type='StemNet'),
    keypoint_head=dict(
        type='SDPoseHead',
        in_channels=256,
        num_joints=17,
        loss_keypoint=dict(type='JointsMSELoss', use_target_weight=True),
        loss_vis_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        loss_kpt_token_dist=dict(type='TokenDistilLoss', loss_weight=5e-6),
        tokenpose_cfg=dict(
            feature_size=[64, 48],
            patch_size=[4, 3],
            dim=192,
            depth=12,
            heads=8,
            mlp_ratio=3,
            heatmap_size=[64, 48],
            pos_embedding_type='sine-full',
            apply_init=True,
            cycle_num=2,
        ),
    ),
    test_cfg=dict(flip_test=True, post_process='unbiased', shift_heatmap=True, modulate_kernel=11),
)
