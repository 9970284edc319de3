"""SDPose: tokenized human pose estimation by self-distillation (CVPR 2024), trained, watched and run.

The names below are loaded when they are first used, so that `import sdpose` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sdpose.config.settings import Settings, load_settings
    from sdpose.errors import SdposeError
    from sdpose.models import CycleOutput, SDPose, SDPoseLoss, create_model
    from sdpose.monitor.hooks import Hook
    from sdpose.training.checkpoint import load_checkpoint

_HOMES = {
    "CycleOutput": "sdpose.models",
    "Hook": "sdpose.monitor.hooks",
    "SDPose": "sdpose.models",
    "SDPoseLoss": "sdpose.models",
    "SdposeError": "sdpose.errors",
    "Settings": "sdpose.config.settings",
    "create_model": "sdpose.models",
    "load_checkpoint": "sdpose.training.checkpoint",
    "load_settings": "sdpose.config.settings",
}

__all__ = [
    "CycleOutput",
    "Hook",
    "SDPose",
    "SDPoseLoss",
    "SdposeError",
    "Settings",
    "__version__",
    "create_model",
    "load_checkpoint",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sdpose' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
