"""SDPose and its parts, to be read in the order of the paper: stem, hrnet, transformer, sdpose, losses."""

from sdpose.models.fuse import fuse_batch_norm
from sdpose.models.host_memory import keep_freed_memory
from sdpose.models.hrnet import HRNet3Stage
from sdpose.models.losses import JointsMSELoss, SDPoseLoss, TokenDistilLoss, pose_accuracy, total_loss
from sdpose.models.normalize import ImageNormalizer
from sdpose.models.sdpose import CycleOutput, SDPose
from sdpose.models.stem import StemNet
from sdpose.models.variants import (
    VARIANTS,
    HeadSpec,
    HRNetSpec,
    ModelSpec,
    StemSpec,
    build,
    create_model,
    variant_spec,
)
from sdpose.models.weights import load_model_weights, load_pretrained_backbone

__all__ = [
    "VARIANTS",
    "CycleOutput",
    "HRNet3Stage",
    "HRNetSpec",
    "HeadSpec",
    "ImageNormalizer",
    "JointsMSELoss",
    "ModelSpec",
    "SDPose",
    "SDPoseLoss",
    "StemNet",
    "StemSpec",
    "TokenDistilLoss",
    "build",
    "create_model",
    "fuse_batch_norm",
    "keep_freed_memory",
    "load_model_weights",
    "load_pretrained_backbone",
    "pose_accuracy",
    "total_loss",
    "variant_spec",
]
