"""The callback for Lightning, whichever of its two names a project installs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from sdpose.integrations.watch import OnAlerts, Watch
from sdpose.monitor import RunFacts
from sdpose.monitor.alert import Severity
from sdpose.monitor.roles import role_of


class LightningEvents:
    """What `MonitorCallback` of `sdpose.integrations.lightning` and of `...pytorch_lightning` do.

    The loss is what `training_step` returns; where it returns none (several optimizers), the losses that it logs.
    Of what `validation_step` logs, names with "val" in them (or eval, test) and `score` are watched.
    The monitor's state rides in the trainer's checkpoint.
    """

    logger_name = "lightning.pytorch"

    def __init__(
        self,
        *,
        loss: str | None = None,
        score: str | None = None,
        interval: int = 50,
        stop_on: Severity | None = None,
        on_alerts: OnAlerts | None = None,
    ) -> None:
        """See `watch.Watch`."""
        self._score = score
        self._watch = Watch(
            loss=loss, score=score, interval=interval, stop_on=stop_on, on_alerts=on_alerts
        )  # fmt: skip

    @property
    def monitor(self) -> Any:
        """The `sdpose.monitor.Monitor`."""
        return self._watch.monitor

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        logger = logging.getLogger(self.logger_name)
        self._watch.start(_facts(trainer, pl_module), logger=logger, speaks=trainer.is_global_zero)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._watch.pause()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._watch.step_begins()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        values = _losses(outputs, trainer)
        lr = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None
        if self._watch.add(trainer.global_step, trainer.current_epoch + 1, {**values, "lr": lr}):
            self._stop_if_asked(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        metrics = {
            name: value
            for name, value in trainer.callback_metrics.items()
            if name == self._score or role_of(name, "train").split == "val"
        }
        self._watch.evaluate(trainer.global_step, trainer.current_epoch + 1, metrics)
        self._stop_if_asked(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._watch.finish()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._watch.finish(f"failed: {type(exception).__name__}")

    def state_dict(self) -> dict[str, Any]:
        return self._watch.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self._watch.load_state_dict(state_dict)

    def _stop_if_asked(self, trainer: Any) -> None:
        if self._watch.stop_on is None:
            return
        # Every process comes here after the same batch; one that stopped alone would leave the others waiting.
        if trainer.strategy.reduce_boolean_decision(self._watch.stop_reason is not None, all=False):
            trainer.should_stop = True
            self.monitor.logger.warning(
                "sdpose monitor ends the training: %s",
                self._watch.stop_reason or "an alert on another process",
            )


def _losses(outputs: Any, trainer: Any) -> Mapping[str, Any]:
    if isinstance(outputs, Mapping):
        if "loss" in outputs:
            return outputs
    elif outputs is not None:
        return {"loss": outputs}
    return {
        name: value
        for name, value in trainer.callback_metrics.items()
        if role_of(name, "train") == ("train", "loss")
    }


def _facts(trainer: Any, pl_module: Any) -> RunFacts:
    total, length, epochs = (
        trainer.estimated_stepping_batches,
        trainer.num_training_batches,
        trainer.max_epochs,
    )
    whole_epochs = trainer.accumulate_grad_batches == 1 and math.isfinite(length)
    return RunFacts(
        name=type(pl_module).__name__,
        total_epochs=epochs if epochs and epochs > 0 else None,
        epoch_length=int(length) if whole_epochs else None,
        iterations=int(total) if math.isfinite(total) and total > 0 else None,
        num_processes=trainer.world_size,
    )
