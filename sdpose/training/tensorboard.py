"""Scalars for TensorBoard, under the tags that mmcv's hook uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sdpose.errors import SdposeError
from sdpose.monitor import Alert
from sdpose.training.scalar_loggers import Ending


class TensorboardScalars:
    """Writes `train/loss`, `val/AP`, `learning_rate` ... to a folder, and alerts as text."""

    name = "TensorBoard"

    def __init__(self, log_dir: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SdposeError(
                "the config asks for TensorboardLoggerHook, but tensorboard is not installed: "
                "pip install 'sdpose[tensorboard]', or take the hook out of log_config"
            ) from error
        self._writer = SummaryWriter(log_dir=str(log_dir))

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{mode}/{name}", value, iteration)
        self._writer.add_scalar("learning_rate", lr, iteration)
        self._writer.flush()

    def alert(self, alert: Alert) -> None:
        self._writer.add_text(f"alerts/{alert.kind}", alert.message, alert.iteration)
        self._writer.flush()

    def close(self, ending: Ending) -> None:
        self._writer.close()
