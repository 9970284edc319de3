"""`MonitorCallback` for the Hugging Face `Trainer`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdpose.integrations.watch import OnAlerts, Watch
from sdpose.monitor import RunFacts
from sdpose.monitor.alert import Severity

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "sdpose.integrations.transformers needs it: pip install transformers accelerate"
    ) from error


class MonitorCallback(TrainerCallback, ExportableState):
    """`Trainer(callbacks=[MonitorCallback()])`.

    Sees what the trainer logs, so `logging_steps` says how soon. The monitor's state rides in each checkpoint's
    trainer_state.json and is taken up by itself on `resume_from_checkpoint`.
    """

    def __init__(
        self,
        *,
        loss: str | None = None,
        score: str | None = None,
        stop_on: Severity | None = None,
        on_alerts: OnAlerts | None = None,
    ) -> None:
        """See `watch.Watch`; names of evaluations are those with "eval_" before them."""
        self._arguments = {"loss": loss, "score": score, "stop_on": stop_on}
        # What the trainer logs is on the host already: nothing is gained by collecting it.
        self._watch = Watch(loss=loss, score=score, interval=1, stop_on=stop_on, on_alerts=on_alerts)

    @property
    def monitor(self) -> Any:
        """The `sdpose.monitor.Monitor`."""
        return self._watch.monitor

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logger = logging.getLogger("transformers.trainer")
        saved = (state.stateful_callbacks or {}).get(type(self).__name__)
        if state.global_step > 0 and isinstance(saved, Mapping):
            self._watch.load_state_dict(saved["attributes"]["saved_state"])
        self._watch.start(_facts(args, state), logger=logger, speaks=state.is_world_process_zero)
        if args.logging_nan_inf_filter and state.is_world_process_zero:
            logger.warning(
                "sdpose monitor: the trainer hides losses that are NaN from its log; set logging_nan_inf_filter=False "
                "in TrainingArguments to have them seen at once"
            )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        if not logs or "loss" not in logs:
            return control  # an evaluation, which comes to on_evaluate too, or the summary at the end
        values = {name: value for name, value in logs.items() if name not in ("epoch", "learning_rate")}
        values["lr"] = logs.get("learning_rate")
        if args.fp16 and not math.isfinite(values.get("grad_norm") or 0.0):
            del values["grad_norm"]  # a step that the loss scaler skips while it looks for its scale
        self._watch.add(state.global_step, _epoch(state), values)
        return self._obey(control)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        values = {name: value for name, value in (metrics or {}).items() if name != "epoch"}
        self._watch.evaluate(state.global_step, _epoch(state), values)
        return self._obey(control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._watch.finish()

    def state(self) -> dict[str, Any]:
        """For the trainer's checkpoint; `on_alerts` is a function and cannot be part of it."""
        return {"args": self._arguments, "attributes": {"saved_state": self.saved_state}}

    @property
    def saved_state(self) -> dict[str, Any]:
        """The monitor's; set by the trainer where it restores callbacks itself."""
        return self._watch.state_dict()

    @saved_state.setter
    def saved_state(self, state: Mapping[str, Any]) -> None:
        self._watch.load_state_dict(state)

    def _obey(self, control: Any) -> Any:
        # What is logged is the same on all processes, so they decide alike.
        if self._watch.stop_reason is not None and not control.should_training_stop:
            control.should_training_stop = True
            self.monitor.logger.warning("sdpose monitor ends the training: %s", self._watch.stop_reason)
        return control


def _epoch(state: Any) -> int:
    return int(state.epoch or 0) + 1


def _facts(args: Any, state: Any) -> RunFacts:
    return RunFacts(
        name=getattr(args, "run_name", None) or Path(args.output_dir or "run").name,
        total_epochs=math.ceil(state.num_train_epochs) or None,
        iterations=state.max_steps or None,
        seed=args.seed,
        lr=args.learning_rate,
        warmup_iterations=args.get_warmup_steps(state.max_steps),
        samples_per_gpu=args.per_device_train_batch_size,
        workers_per_gpu=args.dataloader_num_workers,
        num_processes=args.world_size,
    )
