"""`MonitorCallback` for a `Trainer` of `import lightning`."""

from __future__ import annotations

from sdpose.integrations.lightning_events import LightningEvents

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("sdpose.integrations.lightning needs it: pip install lightning") from error


class MonitorCallback(LightningEvents, Callback):
    """`Trainer(callbacks=[MonitorCallback()])`; its parameters are those of `LightningEvents`."""
