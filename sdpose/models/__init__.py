"""SDPose and its parts, in the order of the paper: stem, hrnet, transformer, sdpose, losses, weights."""

from .losses import JointsMSELoss, SDPoseLoss, TokenDistilLoss, pose_accuracy, total_loss
from .normalize import ImageNormalizer
from .sdpose import CycleOutput, SDPose
from .variants import VARIANTS, HeadSpec, HRNetSpec, ModelSpec, StemSpec, build, create_model, variant_spec
from .weights import load_model_weights, load_pretrained_backbone

__all__ = [
    "VARIANTS",
    "CycleOutput",
    "HRNetSpec",
    "HeadSpec",
    "ImageNormalizer",
    "JointsMSELoss",
    "ModelSpec",
    "SDPose",
    "SDPoseLoss",
    "StemSpec",
    "TokenDistilLoss",
    "build",
    "create_model",
    "load_model_weights",
    "load_pretrained_backbone",
    "pose_accuracy",
    "total_loss",
    "variant_spec",
]
