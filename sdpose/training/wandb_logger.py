"""Scalars for Weights & Biases, into files in the work dir (mode offline) unless the user says otherwise."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdpose.errors import SdposeError
from sdpose.monitor import Alert
from sdpose.training.scalar_loggers import Ending, remember_run, remembered_run

_AXIS = "iteration"
_LEVELS = {"info": "INFO", "warning": "WARN", "critical": "ERROR"}
# Its own output would tear the progress bar; the run's log is in the work dir.
_QUIET = {"console": "off", "silent": True}


class WandbScalars:
    """One run; a resumed training goes on in the run of its work dir (offline: a further file of the same run).

    `init_kwargs` are wandb.init's; `mode` is offline unless they or WANDB_MODE say otherwise.
    """

    name = "Weights & Biases"

    def __init__(
        self,
        work_dir: Path,
        *,
        init_kwargs: Mapping[str, Any],
        parameters: Mapping[str, object],
        resumed: bool,
    ) -> None:
        mode = init_kwargs.get("mode") or os.environ.get("WANDB_MODE") or "offline"
        if mode != "online":
            # Offline as well it looks up its makers' address, to report errors of its own.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise SdposeError(
                "the config asks for WandbLoggerHook, but Weights & Biases is not installed: pip install "
                "'sdpose[wandb]', or take the hook out of log_config"
            ) from error
        work_dir.mkdir(parents=True, exist_ok=True)
        run = init_kwargs.get("id") or (remembered_run(work_dir, self.name) if resumed else None)
        run = run or secrets.token_hex(4)
        given = {
            "name": work_dir.name,
            "dir": str(work_dir),
            **init_kwargs,
            "mode": mode,
            "id": run,
            "resume": "allow",
            "config": {**parameters, **(init_kwargs.get("config") or {})},
            "settings": {**_QUIET, **(init_kwargs.get("settings") or {})},
        }
        try:
            self._run = wandb.init(**given)
        except (TypeError, ValueError, wandb.errors.UsageError) as error:
            reason = " ".join(str(error).split())
            raise SdposeError(
                f"log_config: WandbLoggerHook: init_kwargs are refused by wandb: {reason}"
            ) from error
        remember_run(work_dir, self.name, run)
        # Not wandb's own step, which may only rise: a repair goes back, and what is resumed is logged again.
        self._run.define_metric("*", step_metric=_AXIS)

    def add(self, mode: str, values: Mapping[str, float], *, lr: float, iteration: int) -> None:
        named = {f"{mode}/{name}": float(value) for name, value in values.items()}
        self._run.log({**named, "learning_rate": lr, _AXIS: iteration})

    def alert(self, alert: Alert) -> None:
        title = f"{alert.kind} at iteration {alert.iteration}"
        self._run.alert(title, alert.message, level=_LEVELS[alert.severity])

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code=0 if ending == "finished" else 1)
