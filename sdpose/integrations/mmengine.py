"""`MonitorHook` for runners of mmengine (MMPose 1.x, MMDetection 3.x ...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdpose.integrations.watch import OnAlerts, Watch
from sdpose.monitor import RunFacts
from sdpose.monitor.alert import Severity

try:
    from mmengine.dist import is_main_process
    from mmengine.hooks import Hook
    from mmengine.registry import HOOKS
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("sdpose.integrations.mmengine needs it: pip install mmengine") from error

STATE = "sdpose_monitor"


# The registry is how a config names a hook; `custom_imports` is the user's wish for this side effect.
@HOOKS.register_module()
class MonitorHook(Hook):
    """`custom_hooks = [dict(type='MonitorHook')]` with `custom_imports = dict(imports='sdpose.integrations.mmengine')`.

    Watches the losses that `train_step` returns and the metrics of every validation. The monitor's state rides in
    the runner's checkpoint under "sdpose_monitor".
    """

    priority = "NORMAL"

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
        self._watch = Watch(
            loss=loss, score=score, interval=interval, stop_on=stop_on, on_alerts=on_alerts
        )  # fmt: skip

    @property
    def monitor(self) -> Any:
        """The `sdpose.monitor.Monitor`."""
        return self._watch.monitor

    def before_train(self, runner: Any) -> None:
        self._watch.start(_facts(runner), logger=runner.logger, speaks=is_main_process())

    def before_train_epoch(self, runner: Any) -> None:
        self._watch.pause()

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._watch.step_begins()

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        lrs = next(iter(_learning_rates(runner)), None)
        if self._watch.add(runner.iter + 1, runner.epoch + 1, {**(outputs or {}), "lr": lrs}):
            self._stop_if_asked(runner)

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, Any] | None = None) -> None:
        # The validation comes after its epoch was counted.
        self._watch.evaluate(runner.iter, runner.epoch, metrics or {})
        self._stop_if_asked(runner)

    def after_train(self, runner: Any) -> None:
        self._watch.finish()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[STATE] = self._watch.state_dict()

    def after_load_checkpoint(self, runner: Any, checkpoint: Mapping[str, Any]) -> None:
        # Not when a checkpoint is only where weights come from: that begins another run.
        if runner._resume and STATE in checkpoint:
            self._watch.load_state_dict(checkpoint[STATE])

    def _stop_if_asked(self, runner: Any) -> None:
        if self._watch.stop_reason is not None and not runner.train_loop.stop_training:
            runner.train_loop.stop_training = True
            self.monitor.logger.warning("sdpose monitor ends the training: %s", self._watch.stop_reason)


def _learning_rates(runner: Any) -> list[float]:
    rates = runner.optim_wrapper.get_lr()
    return list(rates["lr"]) if "lr" in rates else []


def _facts(runner: Any) -> RunFacts:
    epochs = runner.max_epochs
    try:
        length = len(runner.train_dataloader)
    except TypeError:  # a stream
        length = None
    by_epoch = type(runner.train_loop).__name__ == "EpochBasedTrainLoop"
    return RunFacts(
        name=runner.experiment_name,
        total_epochs=epochs if by_epoch else None,
        epoch_length=length,
        iterations=runner.max_iters,
        seed=runner.seed,
        num_processes=runner.world_size,
    )
