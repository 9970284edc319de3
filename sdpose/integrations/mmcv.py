"""`MonitorHook` for runners of mmcv 1.x (MMPose 0.x, DistilPose ...)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdpose.integrations.watch import OnAlerts, Watch
from sdpose.monitor import RunFacts
from sdpose.monitor.alert import Severity

try:
    from mmcv.runner import HOOKS, EvalHook, Hook
    from mmcv.runner.hooks import LoggerHook
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "sdpose.integrations.mmcv needs the runner of mmcv 1.x: pip install 'mmcv<2' "
        "(with mmcv 2 use sdpose.integrations.mmengine)"
    ) from error

STATE = "sdpose_monitor"
# What a runner writes beside losses and metrics.
NOT_A_METRIC = frozenset(["time", "data_time", "memory", "lr", "momentum", "eval_iter_num"])


class StoppedByMonitor(RuntimeError):
    """An alert as grave as `stop_on` was raised. A runner of mmcv 1.x has no other way to end within an epoch."""


# The registry is how a config names a hook; `custom_imports` is the user's wish for this side effect.
@HOOKS.register_module()
class MonitorHook(Hook):
    """`custom_hooks = [dict(type='MonitorHook', priority='LOW')]`, imported by `custom_imports`.

    LOW, because it has to come after the evaluation and before the loggers, which empty the buffer with the metrics.
    The monitor's state rides in the runner's checkpoint (`meta["hook_msgs"]`); there it is up to `interval`
    iterations old where checkpoints are saved within an epoch.
    """

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
        self._train_names: set[str] = set()
        self._seen: dict[str, float] = {}

    @property
    def monitor(self) -> Any:
        """The `sdpose.monitor.Monitor`."""
        return self._watch.monitor

    def before_run(self, runner: Any) -> None:
        saved = ((runner.meta or {}).get("hook_msgs") or {}).get(STATE)
        if saved is not None:
            self._watch.load_state_dict(saved)
        self._watch.start(_facts(runner), logger=runner.logger, speaks=runner.rank == 0)
        self._check_place(runner)

    def before_train_epoch(self, runner: Any) -> None:
        self._watch.pause()

    def before_train_iter(self, runner: Any) -> None:
        self._watch.step_begins()

    def after_train_iter(self, runner: Any) -> None:
        values = dict(runner.outputs.get("log_vars", {}))
        self._train_names |= values.keys()
        norms = runner.log_buffer.val_history.get("grad_norm")
        rates = runner.current_lr()
        rates = next(iter(rates.values()), []) if isinstance(rates, dict) else rates
        values |= {"grad_norm": norms[-1] if norms else None, "lr": rates[0] if rates else None}
        looked = self._watch.add(runner.iter + 1, runner.epoch + 1, values)
        if looked or self.end_of_epoch(runner):
            self._save(runner)
            self._stop_if_asked(runner)
        self._evaluated(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        self._evaluated(runner, runner.iter)

    def after_run(self, runner: Any) -> None:
        self._watch.finish()

    def _evaluated(self, runner: Any, iteration: int) -> None:
        """What an evaluation has left in the buffer of the loggers, once."""
        output = runner.log_buffer.output
        if "eval_iter_num" not in output:
            self._seen = {}
            return
        known = self._train_names | NOT_A_METRIC | {"grad_norm"}
        metrics = {name: value for name, value in output.items() if name not in known}
        if not metrics or metrics == self._seen:
            return
        self._seen = metrics
        self._watch.evaluate(iteration, runner.epoch + 1, metrics)
        self._save(runner)
        self._stop_if_asked(runner)

    def _save(self, runner: Any) -> None:
        if runner.meta is None:
            runner.meta = {}
        runner.meta.setdefault("hook_msgs", {})[STATE] = self._watch.state_dict()

    def _stop_if_asked(self, runner: Any) -> None:
        if self._watch.stop_reason is not None:
            raise StoppedByMonitor(f"sdpose monitor ends the training: {self._watch.stop_reason}")

    def _check_place(self, runner: Any) -> None:
        own = runner.hooks.index(self)
        early = any(isinstance(hook, EvalHook) for hook in runner.hooks[own:])
        late = any(isinstance(hook, LoggerHook) for hook in runner.hooks[:own])
        if early or late:
            self.monitor.logger.warning(
                "sdpose monitor cannot see evaluations where it stands among the hooks; register it with priority='LOW'"
            )


def _facts(runner: Any) -> RunFacts:
    epochs, iterations = runner.max_epochs, runner.max_iters
    meta: Mapping[str, Any] = runner.meta or {}
    return RunFacts(
        name=str(meta.get("exp_name") or runner.model_name),
        total_epochs=epochs,
        epoch_length=None if not epochs or not iterations else max(1, iterations // epochs),
        iterations=iterations,
        seed=meta.get("seed"),
        num_processes=runner.world_size,
    )
