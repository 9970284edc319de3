"""`MonitorCallback` for a `Trainer` of `import pytorch_lightning`."""

from __future__ import annotations

from sdpose.integrations.lightning_events import LightningEvents

try:
    from pytorch_lightning import Callback
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "sdpose.integrations.pytorch_lightning needs it: pip install pytorch-lightning"
    ) from error


class MonitorCallback(LightningEvents, Callback):
    """`Trainer(callbacks=[MonitorCallback()])`; its parameters are those of `LightningEvents`."""

    logger_name = "pytorch_lightning"
